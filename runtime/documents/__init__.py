"""The database service of spaces: commands, access rules, bounds. Pure but for the port.

parse         parameters of a call -> DocumentCommand, or a typed error
operators     what filters, updates and pipelines may hold (an allow-list)
rules         a space's access rules: text -> rules -> decision
owner         owner rules become filters; the hidden owner is stamped and never shown
transactions  which are open here, for how long, and whose
"""
