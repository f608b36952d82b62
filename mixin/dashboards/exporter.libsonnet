function(c) { title: 'exporter', description: '', rows: [] }
