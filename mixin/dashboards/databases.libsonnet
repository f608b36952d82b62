function(c) { title: 'databases', description: '', rows: [] }
