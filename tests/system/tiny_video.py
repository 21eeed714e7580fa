# SPDX-License-Identifier: MIT
"""A small MP4 file of H.264: macroblocks that are stored as they are (I_PCM), so that it takes no encoder to write one."""
import struct

SIDE = 128  # pixels; a multiple of 16
BLOCKS = SIDE // 16


class Bits:
    def __init__(self):
        self.text = ""

    def u(self, count, value):
        self.text += f"{value:0{count}b}"
        return self

    def ue(self, value):
        code = f"{value + 1:b}"
        self.text += "0" * (len(code) - 1) + code
        return self

    def align(self, bit="0"):
        self.text += bit * (-len(self.text) % 8)
        return self

    def bytes(self):
        return int(self.text, 2).to_bytes(len(self.text) // 8, "big") if self.text else b""

    def end(self):
        """The stop bit of a raw byte sequence payload."""
        self.text += "1"
        return self.align().bytes()


def unit(head, payload):
    """A NAL unit: no three bytes of it look like a start code (ISO 14496-10 7.4.1)."""
    out, zeros = bytearray([head]), 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def sequence_parameters():
    bits = Bits().u(8, 66).u(8, 0).u(8, 20).ue(0).ue(0).ue(2).ue(0).u(1, 0)
    return unit(0x67, bits.ue(BLOCKS - 1).ue(BLOCKS - 1).u(1, 1).u(1, 1).u(1, 0).u(1, 0).end())


def picture_parameters():
    bits = Bits().ue(0).ue(0).u(1, 0).u(1, 0).ue(0).ue(0).ue(0).u(1, 0).u(2, 0)
    return unit(0x68, bits.ue(0).ue(0).ue(0).u(1, 1).u(1, 0).u(1, 0).end())


def picture(luma, number):
    """One colour, from Y with Cb and Cr in the middle."""
    head = Bits().ue(0).ue(7).ue(0).u(4, 0).ue(number % 2).u(1, 0).u(1, 0).ue(0).ue(1)
    block = bytes([luma]) * 256 + bytes([128]) * 128
    first = head.ue(25).align().bytes()
    next_ = Bits().ue(25).align().bytes()
    return unit(0x65, first + block + (next_ + block) * (BLOCKS * BLOCKS - 1) + b"\x80")


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind, *content, flags=0):
    return box(kind, struct.pack(">I", flags), *content)


MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def tables(sizes, first_at):
    sps, pps = sequence_parameters(), picture_parameters()
    configuration = box(b"avcC", b"\1" + sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(sps)) + sps + b"\1"
                        + struct.pack(">H", len(pps)) + pps)
    entry = box(b"avc1", bytes(6), b"\0\1", bytes(16), struct.pack(">HHII", SIDE, SIDE, 0x480000, 0x480000), bytes(4), b"\0\1",
                bytes(32), b"\0\x18\xff\xff", configuration)
    count = len(sizes)
    stbl = box(b"stbl", full(b"stsd", struct.pack(">I", 1), entry), full(b"stts", struct.pack(">III", 1, count, 1)),
               full(b"stsc", struct.pack(">4I", 1, 1, count, 1)), full(b"stsz", struct.pack(f">II{count}I", 0, count, *sizes)),
               full(b"stco", struct.pack(">II", 1, first_at)))
    minf = box(b"minf", full(b"vmhd", bytes(8), flags=1), box(b"dinf", full(b"dref", struct.pack(">I", 1), full(b"url ", flags=1))), stbl)
    mdia = box(b"mdia", full(b"mdhd", struct.pack(">4IHH", 0, 0, 10, count, 0x55C4, 0)),
               full(b"hdlr", bytes(4), b"vide", bytes(12), b"video\0"), minf)
    tkhd = full(b"tkhd", struct.pack(">5I", 0, 0, 1, 0, count), bytes(16), MATRIX, struct.pack(">II", SIDE << 16, SIDE << 16), flags=3)
    mvhd = full(b"mvhd", struct.pack(">4I", 0, 0, 10, count), struct.pack(">IH", 0x10000, 0x100), bytes(10), MATRIX, bytes(24),
                struct.pack(">I", 2))
    return box(b"moov", mvhd, box(b"trak", tkhd, mdia))


def mp4(lumas):
    """A picture of one grey for each, ten in a second."""
    pictures = [picture(luma, number) for number, luma in enumerate(lumas)]
    samples = [struct.pack(">I", len(data)) + data for data in pictures]
    ftyp = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomavc1")
    sizes = [len(sample) for sample in samples]
    at = len(ftyp) + len(tables(sizes, 0)) + 8
    return ftyp + tables(sizes, at) + box(b"mdat", *samples)
