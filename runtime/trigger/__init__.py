"""The rules of HTTP triggers, without I/O and without an HTTP library (spec: functions (c))."""
