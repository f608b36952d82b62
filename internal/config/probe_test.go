package config
import ("testing";"path/filepath";"fmt")
func TestProbe(t *testing.T){
 fs,_:=filepath.Glob("testdata/*.yml")
 for _,f:=range fs { _,err:=Load(f,[]string{"wal","locks"}); fmt.Printf("== %s\n%v\n",f,err)}
}
