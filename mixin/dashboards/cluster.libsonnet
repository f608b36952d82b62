function(c) { title: 'cluster', description: '', rows: [] }
