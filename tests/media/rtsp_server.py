"""A local RTSP server for tests: one H.264 stream over the connection itself (RTP interleaved), then the end."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

from uniref.media.ffmpeg import run_ffmpeg


def rtp_packets(clip: Path) -> tuple[str, list[bytes]]:
    """The session description and the RTP packets of a video."""
    sdp = clip.with_suffix(".sdp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.2)
        target = f"rtp://127.0.0.1:{receiver.getsockname()[1]}?pkt_size=1200"
        code, said = run_ffmpeg(
            [
                "-i",
                str(clip),
                "-c:v",
                "libx264",
                "-bf",
                "0",
                "-g",
                "4",
                "-an",
                "-sdp_file",
                str(sdp),
                "-f",
                "rtp",
                target,
            ]
        )
        assert code == 0, said
        packets = []
        with contextlib.suppress(TimeoutError):
            while True:
                packets.append(receiver.recv(4096))
    text = re.sub(r"m=video \d+", "m=video 0", sdp.read_text().removeprefix("SDP:\n"))
    return text.replace("\n", "\r\n") + "a=control:track0\r\n", packets


@contextlib.contextmanager
def serve_rtsp(clip: Path, user: str = "") -> Iterator[str]:
    """The address of a server of a video, which ends the connection after its last packet."""
    description, packets = rtp_packets(clip)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while request := self._request():
                method, number = request.split(" ")[0], re.search(r"(?im)^cseq: *(\d+)", request)
                extra, body = "Session: 1", ""
                status = "200 OK"
                if user and "Authorization: Basic" not in request:
                    status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"'
                elif method == "OPTIONS":
                    extra = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN"
                elif method == "DESCRIBE":
                    extra, body = "Content-Type: application/sdp", description
                elif method == "SETUP":
                    extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1"
                answer = f"RTSP/1.0 {status}\r\nCSeq: {number[1] if number else 0}\r\n{extra}\r\n"
                self.wfile.write(f"{answer}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if method == "PLAY" and status == "200 OK":
                    for packet in packets:
                        if 200 <= packet[1] <= 204:  # RTCP
                            continue
                        self.wfile.write(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                    return

        def _request(self) -> str:
            lines = []
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                lines.append(line.decode())
            return "".join(lines)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"rtsp://{user + '@' if user else ''}127.0.0.1:{server.server_address[1]}/stream1"
        server.shutdown()
