function(c) { title: 'vacuum', description: '', rows: [] }
