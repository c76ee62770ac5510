"""Certificates that are costly to look at: made by hand, for no CA and no library would write them. THREATS 17."""

import os
import time

import peers
import support
from peers import dns, spiffe

SHA256_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
RSA_KEY = bytes.fromhex("300d06092a864886f70d0101010500")
SAN, CONSTRAINTS, KEY_USAGE = (bytes.fromhex(oid) for oid in ("0603551d11", "0603551d13", "0603551d0f"))
PURPOSES = bytes.fromhex("301d0603551d250416301406082b0601050507030106082b06010505070302")


def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else (lambda b: bytes([0x80 | len(b)]) + b)(n.to_bytes((n.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + size + body


def integer(n):
    return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def bits(content):
    return der(3, b"\0" + content)


def name(cn):
    return der(0x30, der(0x31, der(0x30, bytes.fromhex("0603550403"), der(0x0c, cn.encode())))) if cn else der(0x30)


def rsa_public(n, e):
    return der(0x30, RSA_KEY, bits(der(0x30, integer(n), integer(e))))


def extension(oid, value, critical=False):
    return der(0x30, oid, der(1, b"\xff") if critical else b"", der(4, value))


def certificate(subject, issuer, public, ca, names=b"", signature_bytes=1024):
    """DER of a certificate whose signature is noise: it says sha256WithRSAEncryption."""
    def at(t):
        return der(0x17, time.strftime("%y%m%d%H%M%SZ", time.gmtime(t)).encode())
    now = time.time()
    extensions = [extension(CONSTRAINTS, der(0x30, der(1, b"\xff")) if ca else der(0x30), True), extension(KEY_USAGE, bytes.fromhex("03020106" if ca else "03020780"), True)]
    extensions += [] if ca else [PURPOSES, extension(SAN, der(0x30, names), True)]
    tbs = der(0x30, der(0xa0, integer(2)), integer(int.from_bytes(os.urandom(15), "big") | 1), SHA256_RSA, name(issuer), der(0x30, at(now - 3600), at(now + 86400)), name(subject), public,
              der(0xa3, der(0x30, *extensions)))
    return der(0x30, tbs, SHA256_RSA, bits(os.urandom(signature_bytes)))


def pem(kind, content):
    done = support.subprocess.run(["base64", "-w64"], input=content, capture_output=True, check=True)
    return f"-----BEGIN {kind}-----\n{done.stdout.decode()}-----END {kind}-----\n"


def primes(count, size):
    return [int(support.openssl("prime", "-generate", "-bits", size, "-hex").stdout, 16) for _ in range(count)]


def rsa_private(size, exponent):
    """PEM of an RSA key that no generator would wait for: its `primes` are products of small ones, which the arithmetic does not mind. And its modulus."""
    half = size // 2048
    while True:
        small = primes(2 * half, 1024)
        p, q, around = 1, 1, 1
        for i, prime in enumerate(small):
            p, q = (p * prime, q) if i < half else (p, q * prime)
            around *= prime - 1
        try:
            d, inverse = pow(exponent, -1, around), pow(q, -1, p)
        except ValueError:
            continue
        def of(side):
            rest = 1
            for prime in side:
                rest *= prime - 1
            return d % rest
        return pem("RSA PRIVATE KEY", der(0x30, integer(0), *[integer(v) for v in (p * q, exponent, d, p, q, of(small[:half]), of(small[half:]), inverse)])), p * q


def chain_file(path, *texts):
    with open(path, "w") as f:
        f.write("".join(texts))
    return path


def text_of(path):
    with open(path) as f:
        return f.read()


def exponent_bomb(pki, service, size=8192):
    """A leaf, with a key of its own, that says it was signed by an RSA key with an exponent as large as its modulus; that CA's certificate behind it. To check the signature takes seconds."""
    modulus = int.from_bytes(os.urandom(size // 8), "big") | 1 << (size - 1) | 1
    leaf = pki.good(service, name=f"bomb-{service}-{size}")
    public = support.openssl("pkey", "-in", leaf.key, "-pubout", "-outform", "DER").stdout
    names = der(0x86, spiffe(service).encode()) + der(0x82, dns(service).encode())
    leaf.cert = chain_file(pki.path(f"bomb-{service}-{size}.chain"), pem("CERTIFICATE", certificate("", "bomb", public, False, names, size // 8)),
                           pem("CERTIFICATE", certificate("bomb", "bomb", rsa_public(modulus, modulus - 2), True, b"", size // 8)))
    return leaf


def huge_rsa(pki, service, size=16384):
    """A leaf under the mesh's own CA (which would never) with an RSA key of 16384 bits and the largest exponent that OpenSSL takes with it."""
    exponent = (1 << 64) - 59
    key, _ = rsa_private(size, exponent)
    made = peers.Identity(pki.path(f"rsa-{size}.pem"), chain_file(pki.path(f"rsa-{size}-key.pem"), key))
    request, extensions = pki.path("rsa.csr"), pki.path("rsa.cnf")
    chain_file(extensions, f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
               f"subjectAltName=critical,URI:{spiffe(service)},DNS:{dns(service)}\n")
    support.openssl("req", "-new", "-key", made.key, "-subj", "/", "-out", request)
    support.openssl("x509", "-req", "-in", request, "-CA", pki.ca_cert, "-CAkey", pki.ca_key, "-set_serial", "0x" + os.urandom(15).hex(), "-days", "2", "-extfile", extensions, "-out", made.cert)
    chain_file(made.cert, text_of(made.cert), text_of(pki.ca_cert))
    return made


def long_chain(pki, service, length=100):
    """A good leaf, and behind it as many CAs as make a chain of `length`."""
    leaf = pki.good(service, name=f"long-{service}")
    chain_file(leaf.cert, text_of(leaf.cert), text_of(pki.ca_cert) * (length - 2))
    return leaf


def deep_chain(pki, service, depth=100):
    """A leaf truly under `depth` CAs, one below the other, of which the first is self-signed: each signature is good."""
    ca = peers.Identity(pki.path("deep-0.pem"), pki.path("deep-0-key.pem"))
    pki.mint_raw("--self-signed", "--ca", "--cert-sign", "--cn", "deep 0", "--out-cert", ca.cert, "--out-key", ca.key)
    texts = [text_of(ca.cert)]
    for i in range(1, depth):
        below = peers.Identity(pki.path(f"deep-{i}.pem"), pki.path(f"deep-{i}-key.pem"))
        pki.mint_raw("--ca-cert", ca.cert, "--ca-key", ca.key, "--ca", "--cert-sign", "--cn", f"deep {i}", "--out-cert", below.cert, "--out-key", below.key)
        texts.insert(0, text_of(below.cert))
        ca = below
    leaf = peers.Identity(pki.path("deep-leaf.pem"), pki.path("deep-leaf-key.pem"))
    pki.mint_raw("--ca-cert", ca.cert, "--ca-key", ca.key, "--uri", spiffe(service), "--dns", dns(service), "--out-cert", leaf.cert, "--out-key", leaf.key)
    chain_file(leaf.cert, text_of(leaf.cert), *texts)
    return leaf


def many_names(pki, service, count=10000):
    """A leaf under the mesh's own CA with so many DNS names beside its own, each as short as it can be."""
    leaf = pki.good(service, name=f"many-{service}")
    request, extensions = pki.path("many.csr"), pki.path("many.cnf")
    chain_file(extensions, "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=@names\n[names]\n"
               f"URI.1={spiffe(service)}\n" + "".join(f"DNS.{i}=a{i % 10}\n" for i in range(1, count + 1)) + f"DNS.{count + 1}={dns(service)}\n")
    support.openssl("req", "-new", "-key", leaf.key, "-subj", "/", "-out", request)
    support.openssl("x509", "-req", "-in", request, "-CA", pki.ca_cert, "-CAkey", pki.ca_key, "-set_serial", "0x" + os.urandom(15).hex(), "-days", "2", "-extfile", extensions, "-out", leaf.cert)
    chain_file(leaf.cert, text_of(leaf.cert), text_of(pki.ca_cert))
    return leaf
