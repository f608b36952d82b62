function(c) { title: 'fleet', description: '', rows: [] }
