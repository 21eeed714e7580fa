# SPDX-License-Identifier: MIT
"""A CA and certificates for tests of TLS, made with the openssl command."""
import pathlib
import subprocess

CONFIG = """
[ca]
default_ca = main
[main]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
crlnumber = {folder}/crlnumber
default_md = sha256
default_days = 30
default_crl_days = 30
policy = anything
unique_subject = no
[anything]
commonName = supplied
organizationName = optional
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[elsewhere]
extendedKeyUsage = serverAuth
subjectAltName = DNS:elsewhere.example, IP:192.0.2.7
[client]
extendedKeyUsage = clientAuth
[serveronly]
extendedKeyUsage = serverAuth
"""


class Authority:
    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True)
        (self.folder / "config").write_text(CONFIG.format(folder=self.folder))
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "crlnumber").write_text("1000\n")
        self.key, self.certificate = self.folder / "ca.key", self.folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate,
                      "-days", "30", "-subj", f"/CN={name}", "-config", self._request_config(), "-extensions",
                      "authority")

    def _openssl(self, *arguments):
        return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, timeout=60).stdout

    def _request_config(self):
        path = self.folder / "request"
        path.write_text("[req]\ndistinguished_name = name\n[name]\n" + (self.folder / "config").read_text())
        return path

    def issue(self, name, kind="client", dates=None, key="rsa:2048"):
        """(certificate, key); `dates`: openssl's -startdate and -enddate."""
        path, private, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        new = ["-newkey", key] if not key.startswith("ec:") else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:" + key[3:]]
        self._openssl("req", *new, "-nodes", "-keyout", private, "-out", request, "-subj", f"/O=Clinic/CN={name}",
                      "-config", self._request_config())
        when = ["-startdate", dates[0], "-enddate", dates[1]] if dates else []
        self._openssl("ca", "-batch", "-config", self.folder / "config", "-cert", self.certificate, "-keyfile", self.key,
                      "-in", request, "-out", path, "-extensions", kind, "-notext", *when)
        return path, private

    def revoke(self, certificate):
        self._openssl("ca", "-config", self.folder / "config", "-cert", self.certificate, "-keyfile", self.key,
                      "-revoke", certificate)

    def revocations(self):
        path = self.folder / "crl.pem"
        self._openssl("ca", "-config", self.folder / "config", "-cert", self.certificate, "-keyfile", self.key,
                      "-gencrl", "-out", path)
        return path

    def fingerprint(self, certificate):
        out = self._openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256")
        return "sha256:" + out.strip().split("=")[1]
