"""Real servers that know users: OpenLDAP, FreeRADIUS, and a Kerberos domain of MIT's."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.certificates import Authority

from .peers import program, running
from .processes import PATIENCE, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLAPD = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
# What makes a log-in without a password succeed: no server should, and many do.
allow bind_anon_dn bind_anon_cred
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/ldap.crt
TLSCertificateKeyFile {folder}/ldap.key
database mdb
maxsize 1048576
suffix dc=example
rootdn cn=admin,dc=example
rootpw secret
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree=ou=hidden,dc=example by dn.exact=cn=reader,dc=example read by * none
access to * by * read
"""
PEOPLE = """\
dn: dc=example
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example
objectClass: organizationalUnit
ou: people

dn: ou=hidden,dc=example
objectClass: organizationalUnit
ou: hidden

dn: cn=reader,dc=example
objectClass: person
cn: reader
sn: Reader
userPassword: reads;all

dn: uid=alice,ou=people,dc=example
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: A
employeeType: staff
mail: alice@example.com
userPassword: wonder:land

dn: uid=bob,ou=people,dc=example
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
userPassword: builder

dn: uid=jürgen,ou=people,dc=example
objectClass: inetOrgPerson
uid: jürgen
cn: J
sn: J
userPassword: grüße

dn: uid=s*(r),ou=people,dc=example
objectClass: inetOrgPerson
uid: s*(r)
cn: S
sn: S
userPassword: stars

dn: uid=eve,ou=hidden,dc=example
objectClass: inetOrgPerson
uid: eve
cn: Eve
sn: E
userPassword: hidden
"""


@dataclass(frozen=True, slots=True)
class Directory:
    """A running slapd. ``ca``: the certificates by which its TLS is to be checked."""

    port: int
    tls_port: int
    path: str
    ca: str

    @property
    def url(self) -> str:
        """By TCP."""
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """By TLS."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def local_url(self) -> str:
        """By a UNIX socket."""
        return f"ldapi://{quote(self.path, safe='')}"


@contextlib.contextmanager
def directory(folder: Path) -> Iterator[Directory]:
    """OpenLDAP with some people, of whom those in ou=hidden are seen by the reader alone."""
    executable = program("slapd")
    authority = Authority()
    ca = authority.write(folder, "ca.pem")
    authority.server("127.0.0.1").write(folder, "ldap")
    (folder / "data").mkdir()
    config = folder / "slapd.conf"
    config.write_text(SLAPD.format(folder=folder))
    people = folder / "people.ldif"
    lines = [_ldif(line) for line in PEOPLE.splitlines()]
    people.write_text("\n".join(lines) + "\n")
    subprocess.run(
        [executable, "-T", "add", "-f", str(config), "-l", str(people)],
        check=True,
        timeout=PATIENCE,
    )
    found = Directory(free_port(), free_port(), str(folder / "ldapi"), str(ca))
    urls = f"{found.url}/ {found.tls_url}/ {found.local_url}"
    argv = [executable, "-f", str(config), "-h", urls, "-d", "0"]
    with running(Process(argv, folder=folder, name="slapd"), stop=signal.SIGTERM) as process:
        for port in (found.port, found.tls_port):
            process.wait_for_socket(("127.0.0.1", port))
        yield found


def _ldif(line: str) -> str:
    if line.isascii():
        return line
    name, _, value = line.partition(": ")
    return f"{name}:: {base64.b64encode(value.encode()).decode()}"


RADIUSD = """\
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
max_requests = 64
log {{
  destination = stdout
}}
security {{
  max_attributes = 200
}}
client here {{
  ipaddr = 127.0.0.1
  secret = {secret}
}}
modules {{
  pap {{
  }}
  files {{
    usersfile = {folder}/users
  }}
}}
server default {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
  }}
  authorize {{
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
  }}
}}
"""
USERS = """\
alice Cleartext-Password := "wonder:land", NAS-Port == 7
bob Cleartext-Password := "builder"
"""
SECRET = "between us"


@contextlib.contextmanager
def radius(folder: Path) -> Iterator[str]:
    """FreeRADIUS, which knows alice at port 7 and bob anywhere; gives its address."""
    executable = program("freeradius")
    port = free_port(socket.SOCK_DGRAM)
    (folder / "radiusd.conf").write_text(
        RADIUSD.format(folder=folder, port=port, secret=f'"{SECRET}"')
    )
    (folder / "users").write_text(USERS)
    argv = [executable, "-f", "-d", str(folder), "-n", "radiusd", "-l", "stdout"]
    with running(Process(argv, folder=folder, name="radius"), stop=signal.SIGTERM) as process:
        process.wait_for_log("Ready to process requests")
        yield f"127.0.0.1:{port}"


KRB5 = """\
[libdefaults]
  default_realm = EXAMPLE.TEST
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  EXAMPLE.TEST = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = EXAMPLE.TEST
"""
KDC = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  EXAMPLE.TEST = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
  }}
"""
# Gives a token of alice's for HTTP@localhost, in base64.
CLIENT = """\
import base64, gssapi
alice = gssapi.Name("alice", gssapi.NameType.user)
mech = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")  # SPNEGO
keys = gssapi.raw.acquire_cred_with_password(alice, b"wonderland", mechs=[mech]).creds
name = gssapi.Name("{service}", gssapi.NameType.hostbased_service)
context = gssapi.SecurityContext(
    name=name, creds=gssapi.Credentials(keys), usage="initiate", mech=mech
)
print(base64.b64encode(context.step()).decode())
"""


@dataclass(frozen=True, slots=True)
class Domain:
    """A running domain. ``environ``: what programs need that belong to it."""

    environ: dict[str, str]

    def ticket(self, service: str = "HTTP@localhost") -> str:
        """What alice sends to a service, in base64."""
        done = subprocess.run(
            [sys.executable, "-c", CLIENT.format(service=service)],
            env={**os.environ, **self.environ},
            stdout=subprocess.PIPE,
            check=True,
            timeout=PATIENCE,
        )
        return done.stdout.decode().strip()


@contextlib.contextmanager
def domain(folder: Path) -> Iterator[Domain]:
    """A Kerberos domain with alice, and a keytab for HTTP@localhost."""
    executables = {name: program(name) for name in ("kdb5_util", "kadmin.local", "krb5kdc")}
    port = free_port()
    (folder / "krb5.conf").write_text(KRB5.format(port=port))
    (folder / "kdc.conf").write_text(KDC.format(folder=folder, port=port))
    keytab = folder / "keytab"
    environ = {
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        "KRB5_KTNAME": str(keytab),
        "KRB5CCNAME": "MEMORY:",
        "KRB5RCACHEDIR": str(folder),
    }
    environment = {**os.environ, **environ}

    def run(name: str, *arguments: str) -> None:
        subprocess.run(
            [executables[name], *arguments],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=PATIENCE,
        )

    run("kdb5_util", "create", "-s", "-P", "master", "-r", "EXAMPLE.TEST")
    run("kadmin.local", "-q", "addprinc -pw wonderland alice")
    for service in ("HTTP/localhost", "other/localhost"):
        run("kadmin.local", "-q", f"addprinc -randkey {service}")
    run("kadmin.local", "-q", f"ktadd -k {keytab} HTTP/localhost")
    argv = [executables["krb5kdc"], "-n", "-r", "EXAMPLE.TEST"]
    process = Process(argv, folder=folder, name="krb5kdc", env=environ)
    with running(process, stop=signal.SIGTERM):
        process.wait_for_socket(("127.0.0.1", port))
        yield Domain(environ)
