"""The runbooks' own commands, run as they stand, under load: backup and restore, failing over, rolling upgrades."""
