"""The worker's side of a sandbox's network: a CONNECT proxy on a unix socket, and its policy.

A sandbox has no network. What it may reach it reaches through `gate.EgressGate`, and the socket
tells whose traffic it is. The way of one connection::

    gate        accepts, within the bounds of `limits`
    connection  reads the head (`head`), answers (`answers`), owns what follows
    route       host -> addresses that `policy` allows; names are looked up once (`names`)
    dial        one connected socket, to one of those addresses and to no other
    relay       bytes both ways, or `internal`: a handler of the worker's own

`networks` and `hosts` say what an address is and how it may be spelled, `rules` reads the
operator's text, `effective` makes one function's policy of them. Everything but `gate`, `connection`,
`relay`, `internal`, `dial` and `names` is free of I/O.
"""
