"""One adapter of `sandbox.api.Spawner` per rung of isolation.

A rung that runs Node makes a folder with a `ChannelListener` in it, starts `node_command` with
`node_environment` behind a `ProcessHandle` (`LocalProcess` where it is a process of this machine),
and returns `NodeSandbox(spec, handle)` after its `connect`. All the rest is common.
"""
