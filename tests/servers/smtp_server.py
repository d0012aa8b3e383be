"""A real SMTP server on a free loopback port, for the tests of mail.

    smtp_server.py FOLDER [--tls none|starttls|required] [--self-signed] [--login USER PASSWORD] [--refuse ADDRESS] [--port N]

Makes a certificate authority and a server certificate for `localhost` in FOLDER (ca.pem), prints the port as soon as it
listens, stores each message as FOLDER/N.eml with its recipients in N.to, and ends when its standard input ends.
"""

import argparse
import datetime
import ipaddress
import logging
import pathlib
import ssl
import sys
import warnings

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--tls", choices=["none", "starttls", "required"], default="none")
parser.add_argument("--self-signed", action="store_true")
parser.add_argument("--login", nargs=2)
parser.add_argument("--refuse")
parser.add_argument("--port", type=int, default=0)
args = parser.parse_args()


def certificate(name, key, issuer, issuer_key, is_ca):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if name == "localhost":
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def context():
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (args.folder / "ca.pem").write_bytes(certificate("test CA", ca_key, "test CA", ca_key, True))
    if args.self_signed:
        # As many relays have it: one certificate that signs itself, a CA and a server at once.
        own = certificate("localhost", key, "localhost", key, True)
        (args.folder / "ca.pem").write_bytes(own)
        (args.folder / "server.pem").write_bytes(own)
    else:
        (args.folder / "server.pem").write_bytes(certificate("localhost", key, "test CA", ca_key, False))
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (args.folder / "server.key").write_bytes(key.private_bytes(pem, pkcs8, plain))
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(args.folder / "server.pem", args.folder / "server.key")
    return found


class Handler:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == args.refuse:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        new = args.folder / f".{self.count}.new"
        new.write_bytes(envelope.content)
        (args.folder / f"{self.count}.to").write_text("\n".join(envelope.rcpt_tos))
        new.rename(args.folder / f"{self.count}.eml")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and [data.login.decode(), data.password.decode()] == args.login
    return AuthResult(success=good, handled=good)


options = {}
if args.login:
    options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": args.tls != "none"}
if args.tls == "starttls":
    options |= {"tls_context": context(), "require_starttls": True}
if args.tls == "required":
    options |= {"ssl_context": context(), "auth_require_tls": False}


class Bound(Controller):
    """Takes the port that the kernel gives; one that was only looked for could be taken by another program in between."""

    async def _create_server(self):
        server = await super()._create_server()
        self.port = server.sockets[0].getsockname()[1]
        return server


# A client that does not trust the certificate is what some tests want; the server's traceback would look like a failure.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
warnings.simplefilter("ignore", DeprecationWarning)
server = Bound(Handler(), hostname="127.0.0.1", port=args.port, ready_timeout=60, **options)
server.start()
print(server.port, flush=True)
sys.stdin.read()
server.stop()
