"""Access to a stage: the clients of AWS, the local cloud, the consumers and the list of deployed stages."""
