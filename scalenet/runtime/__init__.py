"""What a process needs around the networks: how it starts and is stopped, its messages, devices, threads, pipelines."""
