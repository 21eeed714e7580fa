# SPDX-License-Identifier: MIT
"""DICOM over TLS (PS3.15 B.12): who gets in, with what, and whom we trust when we call."""
import re
import signal
import subprocess
import socket
import ssl
import threading
import time

import pytest

from certificates import Authority
from conftest import free_port
from upper_layer import (
    ABORT, AC, CT, DATA, EXPLICIT, IMPLICIT, RJ, STUDY_MOVE, VERIFICATION, WAIT, Accepted, Association, Receiver, Wire,
    associate_rq, dial, encode, is_stored, keys, pdu, refused, store_all)
from web import make, new_uid

ECHO = [(1, VERIFICATION, [IMPLICIT])]
CONTEXTS = [(1, VERIFICATION, [IMPLICIT]), (3, CT, [EXPLICIT]), (5, STUDY_MOVE, [EXPLICIT])]
NOT_RECOGNIZED = (RJ, b"\0\1\1\3")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    class Pki:
        folder = tmp_path_factory.mktemp("pki")
        ca, other = Authority(folder, "ca"), Authority(folder, "other")
        server = ca.issue("localhost", "server")
        elsewhere = ca.issue("elsewhere.example", "elsewhere")
        client, second = ca.issue("CT1"), ca.issue("CT2")
        revoked, server_only = ca.issue("REVOKED"), ca.issue("SERVERONLY", "serveronly")
        expired = ca.issue("EXPIRED", dates=("20200101000000Z", "20200201000000Z"))
        future = ca.issue("FUTURE", dates=("20400101000000Z", "20410101000000Z"))
        stranger = other.issue("CT1")
    Pki.ca.revoke(Pki.revoked[0])
    Pki.crl = Pki.ca.revocations()
    return Pki


def tls_settings(pki, mutual=True, certificate=None, **more):
    certificate, key = certificate or pki.server
    settings = {"tlsPort": free_port(), "tlsCertificate": str(certificate), "tlsKey": str(key), **more}
    if mutual:
        settings.update(tlsCa=str(pki.ca.certificate), tlsCrl=str(pki.crl))
    return {"dimse": settings}


@pytest.fixture(scope="module")
def tls_server(session_folder, pki):
    from conftest import Server
    daemon = Server(session_folder / "tls", tls_settings(pki)).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-4000:]
    assert "Sanitizer" not in daemon.log() and "runtime error" not in daemon.log()


def context_of(pki, identity=None, ca=None, ciphers=None, lowest=None, highest=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations((ca or pki.ca).certificate)
    if identity:
        context.load_cert_chain(*identity)
    if ciphers:
        context.set_ciphers(ciphers)
    if lowest:
        context.minimum_version = lowest
    if highest:
        context.maximum_version = highest
    return context


def wrap(server, context):
    sock = socket.create_connection(("127.0.0.1", server.settings["dimse"]["tlsPort"]), WAIT)
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


class TlsAssociation(Association):
    """An Association over TLS."""

    def __init__(self, server, context, contexts=None, calling="CT1"):
        self.secure = wrap(server, context)
        Wire.__init__(self, self.secure)
        self.proposals = contexts or CONTEXTS
        self.send(associate_rq(self.proposals, calling=calling))
        self.answer = self.read()
        self.message_id = 0
        if self.answer and self.answer[0] == AC:
            self.accepted = Accepted(self.answer[1])


def is_refused(server, context):
    """The handshake, or what comes first after it, fails with an alert; no DICOM byte is heard."""
    try:
        secure = wrap(server, context)
    except (ssl.SSLError, ConnectionError):
        return True
    try:
        # of TLS 1.3 the client is done before the server has looked at its certificate
        secure.sendall(associate_rq(ECHO))
        return secure.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True
    finally:
        secure.close()


def works(server, context, **more):
    association = TlsAssociation(server, context, **more)
    assert association.answer[0] == AC, association.answer
    assert association.echo() == 0
    version = association.secure.version(), association.secure.cipher()[0]
    association.release()
    return version


def test_TLS_01_versions_and_the_suites_of_the_profile(tls_server, pki):
    assert works(tls_server, context_of(pki, pki.client))[0] == "TLSv1.3"
    old = ssl.TLSVersion.TLSv1_2
    for suite in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256",
                  "DHE-RSA-AES256-GCM-SHA384"):
        context = context_of(pki, pki.client, ciphers=suite, highest=old)
        assert works(tls_server, context) == ("TLSv1.2", suite)


@pytest.mark.parametrize("ciphers, lowest, highest", [
    ("ALL:@SECLEVEL=0", ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1),
    ("ALL:@SECLEVEL=0", ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1),
    ("AES128-SHA:AES256-SHA:AES128-GCM-SHA256", None, ssl.TLSVersion.TLSv1_2),  # no forward secrecy
    ("ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA384", None, ssl.TLSVersion.TLSv1_2),  # CBC
    ("eNULL:@SECLEVEL=0", None, ssl.TLSVersion.TLSv1_2),
    ("aNULL:@SECLEVEL=0", None, ssl.TLSVersion.TLSv1_2),
])
def test_TLS_01_old_versions_and_weak_suites_are_refused(tls_server, pki, ciphers, lowest, highest):
    context = context_of(pki, pki.client, ciphers=ciphers, lowest=lowest, highest=highest)
    assert is_refused(tls_server, context)
    assert works(tls_server, context_of(pki, pki.client))


def shakes_hands(server, pki, *flags):
    """The words of openssl s_client about a handshake with these flags, or None."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.settings['dimse']['tlsPort']}", "-cert",
         str(pki.client[0]), "-key", str(pki.client[1]), "-CAfile", str(pki.ca.certificate), *flags],
        input=b"", capture_output=True, timeout=30, check=False)
    text = done.stdout.decode(errors="replace")
    return text if re.search(r"Cipher is (?!\(NONE\))", text) else None


def test_TLS_02_the_modified_profile_takes_its_groups_and_suites_alone(start_server, pki):
    server = start_server(settings=tls_settings(pki, tlsProfile="bcp195-modified"))
    weak = "ALL:@SECLEVEL=0"
    for suite in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256",
                  "ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES256-CCM"):
        context = context_of(pki, pki.client, ciphers=suite, highest=ssl.TLSVersion.TLSv1_2)
        assert works(server, context) == ("TLSv1.2", suite)
    for group in ("P-256", "P-384", "X25519", "ffdhe2048"):
        assert shakes_hands(server, pki, "-tls1_3", "-groups", group), group
    text = shakes_hands(server, pki, "-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256")
    assert int(re.search(r"Server Temp Key: DH, (\d+) bits", text)[1]) >= 2048
    for group in ("P-224", "P-192", "sect283k1", "secp256k1"):
        assert not shakes_hands(server, pki, "-tls1_2", "-cipher", "ECDHE:@SECLEVEL=0", "-groups", group), group
    for suite in ("ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-CAMELLIA128-SHA256",
                  "DHE-RSA-ARIA128-GCM-SHA256"):
        assert not shakes_hands(server, pki, "-tls1_2", "-cipher", suite + ":@SECLEVEL=0"), suite
    assert not shakes_hands(server, pki, "-tls1_1", "-cipher", weak)
    assert works(server, context_of(pki, pki.client))[0] == "TLSv1.3"


def test_TLS_02_another_profile_is_no_setting(start_server, pki):
    with pytest.raises(RuntimeError, match="dimse.tlsProfile"):
        start_server(settings=tls_settings(pki, tlsProfile="mine"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_TLS_03_only_certificates_of_the_ca_that_are_valid_get_in(tls_server, pki, version):
    for identity in (None, pki.expired, pki.future, pki.stranger, pki.revoked, pki.server_only):
        context = context_of(pki, identity, highest=version, lowest=version)
        assert is_refused(tls_server, context), identity
    assert "over=tls why=" in tls_server.log()
    assert works(tls_server, context_of(pki, pki.client, highest=version, lowest=version))


def test_TLS_03_without_a_ca_clients_need_no_certificate(start_server, pki):
    server = start_server(settings=tls_settings(pki, mutual=False))
    assert works(server, context_of(pki))


def test_TLS_03_a_title_is_bound_to_its_certificate(start_server, pki):
    peers = [{"aeTitle": "CT1", "certificate": pki.ca.fingerprint(pki.client[0])},
             {"aeTitle": "CT2", "certificate": "CN=CT2,O=Clinic"}, {"aeTitle": "FREE"}]
    server = start_server(settings=tls_settings(pki, peers=peers))
    first, second = context_of(pki, pki.client), context_of(pki, pki.second)
    assert works(server, first, calling="CT1") and works(server, second, calling="CT2")
    assert works(server, first, calling="FREE") and works(server, second, calling="FREE")
    for context, title in ((first, "CT2"), (second, "CT1")):
        association = TlsAssociation(server, context, calling=title)
        assert association.answer == NOT_RECOGNIZED
        association.close()
    # nor without TLS at all
    for title in ("CT1", "CT2"):
        assert refused(server, associate_rq(ECHO, calling=title)) == (RJ, (1, 1, 3))
    assert refused(server, associate_rq(ECHO, calling="FREE"))[0] == AC


def test_TLS_01_large_instances_both_ways(start_server, pki):
    port = free_port()
    settings = tls_settings(pki, peers=[{"aeTitle": "PLAIN", "host": "127.0.0.1", "port": port}])
    server = start_server(settings=settings)
    datasets = [make(Rows=1024, Columns=1024), make(), make(Rows=300, Columns=333)]
    association = TlsAssociation(server, context_of(pki, pki.client))
    for ds in datasets:
        assert association.store(ds, 3)[0x0900] == 0
        assert is_stored(server, ds)
    with Receiver(port) as receiver:
        for ds in datasets:
            association.request(5, 0x21, STUDY_MOVE,
                                keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                                elements={0x0600: "PLAIN"})
            assert association.answers(5)[-1][0][0x0900] == 0
        assert [got.content for got in receiver.stored] == [encode(ds) for ds in datasets]
    association.release()


def test_TLS_01_requests_that_cannot_be_are_answered_over_tls(tls_server, pki):
    context = context_of(pki, pki.client)
    with Wire(wrap(tls_server, context)) as wire:
        wire.send(pdu(DATA, bytes(20)))
        assert wire.read()[0] == ABORT
    with Wire(wrap(tls_server, context)) as wire:
        wire.send(associate_rq(ECHO, called="NOBODY"))
        assert wire.read() == (RJ, b"\0\1\1\7")
    with Wire(wrap(tls_server, context)) as wire:
        wire.send(pdu(1, bytes(10)))
        assert wire.read()[0] == ABORT
    # plain DICOM on the port of TLS: no association
    plain = socket.create_connection(("127.0.0.1", tls_server.settings["dimse"]["tlsPort"]), WAIT)
    with Wire(plain) as wire:
        wire.send(associate_rq(ECHO))
        assert wire.sock.recv(1) in (b"", b"\x15")  # at most an alert
    assert works(tls_server, context)


class TlsReceiver(Receiver):
    """A destination that speaks TLS."""

    def __init__(self, port, pki, identity, **more):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*identity)
        self.context.load_verify_locations(pki.ca.certificate)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.failures = []
        super().__init__(port, **more)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            connection.settimeout(WAIT)
            try:
                secure = self.context.wrap_socket(connection, server_side=True)
            except (OSError, ssl.SSLError) as failure:
                self.failures.append(failure)
                continue
            threading.Thread(target=self._serve, args=(Wire(secure),), daemon=True).start()


def test_TLS_04_destinations_are_verified_and_never_called_in_plain(start_server, pki):
    ports = {title: free_port() for title in ("GOOD", "WRONGNAME", "PINNED", "WRONGPIN", "STRANGER", "PLAIN")}
    peers = [{"aeTitle": title, "host": "localhost" if title == "GOOD" else "127.0.0.1", "port": port, "tls": True}
             for title, port in ports.items()]
    by_title = {peer["aeTitle"]: peer for peer in peers}
    by_title["PINNED"]["certificate"] = pki.ca.fingerprint(pki.elsewhere[0])
    by_title["WRONGPIN"]["certificate"] = pki.ca.fingerprint(pki.client[0])
    server = start_server(settings=tls_settings(pki, peers=peers, connectTimeoutSeconds=3))
    ds = make()
    store_all(server, [ds])
    identities = {"GOOD": pki.server, "WRONGNAME": pki.elsewhere, "PINNED": pki.elsewhere, "WRONGPIN": pki.server,
                  "STRANGER": pki.other.issue("localhost", "server")}
    expected = {"GOOD": True, "WRONGNAME": False, "PINNED": True, "WRONGPIN": False, "STRANGER": False, "PLAIN": False}
    for title, delivered in expected.items():
        make_receiver = (lambda: Receiver(ports["PLAIN"])) if title == "PLAIN" else \
            (lambda: TlsReceiver(ports[title], pki, identities[title]))
        with make_receiver() as receiver:
            association = Association(server, CONTEXTS)
            association.request(5, 0x21, STUDY_MOVE,
                                keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                                elements={0x0600: title})
            assert (association.answers(5)[-1][0][0x0900] == 0) == delivered, title
            association.release()
            assert len(receiver.stored) == delivered, title
            if not delivered:
                assert not receiver.requests, title


def test_TLS_04_tls_peers_without_a_ca_are_no_settings(start_server, pki):
    settings = tls_settings(pki, mutual=False, peers=[{"aeTitle": "A", "host": "localhost", "port": 1, "tls": True}])
    server = start_server(settings=settings, wait=False)
    assert server.process.wait(20) != 0
    assert "no CA to verify by" in server.log()


def test_TLS_05_certificates_are_read_again_without_dropping_associations(start_server, pki, tmp_path):
    files = {name: tmp_path / name for name in ("certificate", "key", "ca")}
    for name, source in (("certificate", pki.server[0]), ("key", pki.server[1]), ("ca", pki.ca.certificate)):
        files[name].write_bytes(source.read_bytes())
    settings = tls_settings(pki, certificate=(files["certificate"], files["key"]))
    settings["dimse"].update(tlsCa=str(files["ca"]), tlsCrl="")
    server = start_server(settings=settings)
    ours, theirs = context_of(pki, pki.client), context_of(pki, pki.stranger)
    old = TlsAssociation(server, ours)
    assert old.echo() == 0 and is_refused(server, theirs)

    def reload(word):
        before = server.log().count(word)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while server.log().count(word) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.log().count(word) == before + 1

    # a broken file changes nothing
    files["certificate"].write_text("nonsense")
    reload("settings not reloaded")
    assert works(server, ours)
    files["certificate"].write_bytes(pki.server[0].read_bytes())
    files["ca"].write_bytes(pki.other.certificate.read_bytes())
    reload("settings reloaded")
    assert old.echo() == 0
    old.release()
    assert is_refused(server, ours)
    assert works(server, theirs)


def test_TLS_05_handshakes_that_never_end_cost_nobody_else(start_server, pki):
    settings = tls_settings(pki, artimTimeoutSeconds=1.5, associationLimit=16)
    server = start_server(settings=settings)
    port, context = settings["dimse"]["tlsPort"], context_of(pki, pki.client)
    began = time.monotonic()
    silent = [socket.create_connection(("127.0.0.1", port), WAIT) for _ in range(60)]
    # enough to be handed to workers, all of them, and never more
    dripping = [socket.create_connection(("127.0.0.1", port), WAIT) for _ in range(60)]
    for sock in dripping:
        sock.sendall(b"\x16\x03\x01")
    association = Association(server, ECHO)
    assert association.echo() == 0
    association.release()
    for sock in silent + dripping:
        sock.settimeout(WAIT)
        try:
            while sock.recv(100):  # an alert at most
                pass
        except ConnectionError:
            pass
        sock.close()
    assert time.monotonic() - began < 8
    assert works(server, context)


def test_TLS_05_sessions_cut_anywhere_leave_nothing(tls_server, pki):
    context = context_of(pki, pki.client)
    ds = make(Rows=128, Columns=128)
    for cut in (0, 1, 50, 3000, 20000):
        association = TlsAssociation(tls_server, context)
        elements = {0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1}
        association.send_message(3, elements)
        from upper_layer import fragments
        association.send(fragments(3, 0, encode(ds), 4000)[:cut])
        association.reset()
        assert not is_stored(tls_server, ds)
    assert works(tls_server, context)
    assert new_uid()


def test_TLS_05_renegotiation_is_refused(tls_server, pki):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{tls_server.settings['dimse']['tlsPort']}", "-tls1_2", "-cert",
         str(pki.client[0]), "-key", str(pki.client[1]), "-CAfile", str(pki.ca.certificate)],
        input=b"R\n", capture_output=True, timeout=30, check=False)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert "RENEGOTIATING" in text
    assert "verify return" in text and done.returncode != 0 or "no renegotiation" in text or "error" in text
    assert works(tls_server, context_of(pki, pki.client))


@pytest.mark.slow
def test_TLS_01_dcmtk_and_pynetdicom_over_tls(tls_server, pki):
    from pynetdicom import AE
    port = str(tls_server.settings["dimse"]["tlsPort"])
    subprocess.run(["echoscu", "+tls", str(pki.client[1]), str(pki.client[0]), "+cf", str(pki.ca.certificate),
                    "-aec", tls_server.ae_title, "127.0.0.1", port], check=True, timeout=30)
    ae = AE()
    ae.add_requested_context(VERIFICATION)
    association = ae.associate("127.0.0.1", int(port), ae_title=tls_server.ae_title,
                               tls_args=(context_of(pki, pki.client), "localhost"))
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()


def test_TLS_01_commitment_reports_go_over_tls(start_server, pki):
    from test_scm import action, ask, COMMITMENT
    from pynetdicom import AE, evt
    port = free_port()
    peers = [{"aeTitle": "REQUESTER", "host": "localhost", "port": port, "tls": True}]
    server = start_server(settings=tls_settings(pki, peers=peers, commitmentWaitSeconds=0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pki.server)
    context.load_verify_locations(pki.ca.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    heard = threading.Event()
    ae = AE(ae_title="REQUESTER")
    ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    listening = ae.start_server(("127.0.0.1", port), block=False, ssl_context=context,
                                evt_handlers=[(evt.EVT_N_EVENT_REPORT, lambda event: (heard.set(), (0, None))[1])])
    try:
        ds = make()
        store_all(server, [ds])
        association = Association(server, [(3, COMMITMENT, [EXPLICIT])], calling="REQUESTER", source="127.0.0.1")
        assert ask(association, action(new_uid(), [(ds.SOPClassUID, ds.SOPInstanceUID)])) == 0
        association.release()
        assert heard.wait(15), server.log()[-2000:]
    finally:
        listening.shutdown()
