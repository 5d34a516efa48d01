"""How long the commands wait for a cluster, in seconds."""

UP_S = 90.0
DOWN_S = 90.0
SWITCHOVER_S = 60.0
RESTART_S = 60.0
