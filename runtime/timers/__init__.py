"""Timer triggers: when a function is due, and each tick as exactly one job (spec: functions (d))."""
