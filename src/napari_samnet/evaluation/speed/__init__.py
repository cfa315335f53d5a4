"""How long a match takes, stage by stage."""
