"""etcd's HTTP gateway."""
