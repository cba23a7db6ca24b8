"""Signal agents, one file each, and the coordinator that weighs them. Pure."""
