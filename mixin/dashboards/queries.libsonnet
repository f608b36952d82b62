function(c) { title: 'queries', description: '', rows: [] }
