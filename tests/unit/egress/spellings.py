"""Hosts as hostile functions spell them, and as others do."""

from __future__ import annotations


def _table(text: str) -> list[str]:
    return text.split()


LOOPBACK_AND_METADATA = _table("""
    127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 0.0.0.0 0.0.0.1 10.0.0.1 10.255.255.255
    100.64.0.1 100.100.100.200 100.127.255.255 169.254.169.254 169.254.170.2 169.254.0.23
    172.16.0.1 172.17.0.1 172.31.255.255 192.168.0.1 192.168.255.255 192.0.0.192 192.0.2.1
    192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250
    240.0.0.1 255.255.255.255 168.63.129.16
    [::] [::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [0::1]
    [::127.0.0.1] [::7f00:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:7F00:0001]
    [0:0:0:0:0:ffff:127.0.0.1] [::ffff:0.0.0.0] [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
    [::ffff:10.0.0.1] [::ffff:8.8.8.8] [::ffff:0:127.0.0.1] [::ffff:0:a9fe:a9fe]
    [64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:FF9B::A00:1] [64:ff9b:1::7f00:1]
    [64:ff9b:1:1::169.254.169.254] [2002:7f00:1::] [2002:7f00:0001::1] [2002:a9fe:a9fe::]
    [2002:a00:1::1] [2001::1] [2001:0:7f00:1::] [2001:0000:4136:e378:8000:63bf:3fff:fdd2]
    [2001:db8::1] [2001:2::1] [2001:10::1] [3fff::1] [5f00::1] [100::1] [fc00::1] [fd00::1]
    [fd00:ec2::254] [FD00:EC2::254] [fd00:0ec2:0:0:0:0:0:254] [fe80::1] [fe80::a9fe:a9fe]
    [febf::1] [fec0::1] [fec0::ffff] [ff02::1] [ff0e::1] [ff05::1:3]
""")
"""Well spelled, and refused by the default policy."""

ODDLY_SPELLED = _table("""
    0x7f.1 0x7f.0.0.1 0x7F.0x0.0x0.0x1 0x7f000001 0X7F000001 0x7f.0x1 127.0x1 127.0.0x1
    0177.0.0.1 0177.1 017700000001 00177.0.0.1 0177.0000.0000.0001 127.0.0.01 127.000.000.001
    127.1 127.0.1 127.0.0.1. 127.1. 2130706433 2130706433. 0x7f.1. 02130706433 1 0 0. 0x0 0x
    00 00000000 1.1 8.8.8 8.8.8.8.8 8.8.8.8. 256.1.1.1 1.1.1.256 127.0.0.1.1 .127.0.0.1
    127..0.1 127.0.0. 127.0.0.0x 1.2.3.4x.5 0xa9fea9fe 0xA9.0xFE.0xA9.0xFE 2852039166
    0251.0376.0251.0376 025177524776 169.254.43518 169.16689662 169.254.169.0376 3232235521
    0xc0a80001 0300.0250.1 10.1 012.1 0xa.1 167772161 4294967295 4294967296 -1 +1
    99999999999999999999 127.0.0.1%00 127.0.0.1%2e 127%2e0%2e0%2e1 %31%32%37.0.0.1
    127.0.0.1%eth0 127.0.0.1/8 127.0.0.1/ 127.0.0.1\\ 127.0.0.1@8.8.8.8 user@127.0.0.1
    ::1 ::ffff:127.0.0.1 fe80::1 0:0:0:0:0:0:0:1 [::1 ::1] [] [:] [::1]] [[::1]] [[::1]
    [::1%lo] [::1%25lo] [fe80::1%eth0] [fe80::1%251] [::%0] [127.0.0.1] [localhost] [example.com]
    [::ffff:127.1] [::ffff:0177.0.0.1] [::ffff:127.0.0.01] [::127.0.0.0x1] [1::2::3] [::12345]
    [0:0:0:0:0:0:0:0:1] [::g] [v1.x] [::1]x [2001:4860::8888/64]
    localhost%00 local%68ost example.com%00.evil exa%6dple.com a_b%5f example..com .example.com
    . .. example.com.. -example.com example-.com exam!ple.com exam*ple.com *.example.com
    a,b a;b a'b a"b a(b) a=b a&b a?b a#b a\\b a{b} a|b a^b a`b a~b a$b http://example.com
    example.com/ example.com:80 //example.com
""")
"""Neither a name nor an address as this proxy takes them, whatever a resolver makes of them."""

NAMES = {
    "example.com": "example.com",
    "Example.COM": "example.com",
    "example.com.": "example.com",
    "LOCALHOST": "localhost",
    "localhost.": "localhost",
    "db": "db",
    "my_db.internal": "my_db.internal",
    "_srv._tcp.example.com": "_srv._tcp.example.com",
    "a-b.c-d.e": "a-b.c-d.e",
    "1.example.com": "1.example.com",
    "127.0.0.1.nip.io": "127.0.0.1.nip.io",
    "0x7f.example": "0x7f.example",
    "1password.com": "1password.com",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "4u": "4u",
    "1e3": "1e3",
    "0xg": "0xg",
    "a" * 63 + ".example": "a" * 63 + ".example",
}
"""Names, and what they are looked up as."""
