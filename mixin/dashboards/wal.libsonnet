function(c) { title: 'wal', description: '', rows: [] }
