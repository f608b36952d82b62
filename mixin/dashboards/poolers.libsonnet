function(c) { title: 'poolers', description: '', rows: [] }
