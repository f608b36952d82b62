function(c) { title: 'replication', description: '', rows: [] }
