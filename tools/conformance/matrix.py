"""Reads docs/conformance.md: tables whose rows are `| id | requirement | rfc | dc | shown by | remark |`."""

import collections
import os
import re

Row = collections.namedtuple("Row", "line id requirement rfc dc evidence remark")

# Situations that suites of other stacks test, by the names in use there.
_CASES = """
AcceptableAckInSynRcvd SynSentReset SynSentRcvdReset SynRcvdReset HandshakeWindowSize ListenBacklog SynCookie NoAcceptCloseReset
QueueSendInSynSent QueueRecvInSynSent ConnectICMPError SynSentUnreachable EstablishedUnreachable GiveUpConnect SynOptionsOnActiveConnect
SelfConnect OutsideTheWindow AckOTWSeqInClosing EstablishedUnaccSeqAck CloseUnaccSeqAck SendWindowSizesPiggyback ReduceRecvBuf
WindowShrink NoWindowShrinking ZeroReceiveWindow ZeroToNonZeroWindowUpdate NonZeroReceiveWindow SmallSegReceiveWindowAdvertisement
ZeroWindowProbe ZeroWindowProbeRetransmit ZeroWindowProbeUserTimeout CorkMSS SendGreaterThanMTU PathMTUDiscovery IPv4IDUniqueness
OutOfOrderReceive OutOfOrderFlood FinPiggybackedWithData PAWSMechanism SegmentNotDroppedWhenTimestampMissing TimestampNegotiation
Retransmits MaxRTO MaxRetransmitsTimeout FinRetransmit ClosingFinRetransmission FastRecovery ExponentialIncreaseDuringSlowStart
CongestionAvoidance RecoveryEntry SACKRecovery UpdateSACKBlocks TrimSackBlockList RACKTLPAllPacketsLost RACKTLPLost
RACKOnePacketTailLoss RACKWithSACK RACKWithLostRetransmission RACKWithoutReorder RACKWithReorder RACKDetectDSACK
RACKWithInvalidDSACKBlock DetectSpuriousRecoveryWithRTO SRTTNotInflatedByProcessingDelay LingerZeroTimeout LingerOff LingerNonZero
LingerNonEstablished RstOnCloseWithUnreadData FinWait2Timeout TimeWaitReset TimeWaitNewSyn TimeWaitDuplicateFINExtends
TimeWaitOutOfOrder UserTimeout KeepaliveWithUserTimeout Keepalive ResetDuringClose CloseWithPendingDataCwndFull
TCPResetsDoNotGenerateResets RSTOutOfWindowIsDropped RSTInWindowNotExactSendsChallengeAck RSTExactMatchAborts
""".split()

# What has to have a row: every MUST and SHLD of RFC 9293 (and its REC-1), the RFCs beyond it, and the case list.
REQUIRED = (
    ["MUST-%d" % n for n in range(1, 70)]
    + ["REC-1"]
    + ["SHLD-%d" % n for n in range(1, 32)]
    + ["RFC-%d" % n for n in (1337, 2018, 2883, 3042, 3168, 3522, 4987, 5482, 5681, 5682, 5927, 5961, 6056, 6093, 6191)]
    + ["RFC-%d" % n for n in (6298, 6429, 6528, 6582, 6675, 6928, 7323, 8985, 9438, 9937)]
    + ["CASE-" + name for name in _CASES]
)

# yes: holds, and a test shows it. no: deviates on purpose. kernel: the kernel does it on a shared link. n/a: cannot arise.
VERDICTS = ("yes", "no", "kernel", "n/a")

_ROW = re.compile(r"^\| *((?:MUST|SHLD|REC|RFC|CASE)-[\w-]+) *\|(.*)\|\s*$")
_REFERENCE = re.compile(r"`([^`]+)`")
_TEST_MACRO = re.compile(r"^\s*TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.MULTILINE)


def read(text):
    """The rows of a document, and what is wrong with their form as (line, message)."""
    rows, faults = [], []
    for number, line in enumerate(text.split("\n"), 1):
        match = _ROW.match(line)
        if not match:
            continue
        cells = [cell.strip() for cell in match.group(2).split("|")]
        if len(cells) != 5:
            faults.append((number, "%s has %d cells, not 6" % (match.group(1), len(cells) + 1)))
            continue
        rows.append(Row(number, match.group(1), *cells))
    return rows, faults


def form_faults(rows):
    """(line, message) for ids that are missing, unknown verdicts, empty cells and claims without evidence."""
    seen = collections.Counter(row.id for row in rows)
    for name in REQUIRED:
        if seen[name] == 0:
            yield 0, "no row for %s" % name
    for row in rows:
        if seen[row.id] > 1:
            yield row.line, "%s has %d rows" % (row.id, seen[row.id])
        if not row.requirement:
            yield row.line, "%s does not say what is required" % row.id
        verdicts = (row.rfc, row.dc)
        for verdict in verdicts:
            if verdict not in VERDICTS:
                yield row.line, "%s: '%s' is none of %s" % (row.id, verdict, ", ".join(VERDICTS))
        if "yes" in verdicts and not references(row):
            yield row.line, "%s: says yes and names no test" % row.id
        if set(verdicts) != {"yes"} and not row.remark:
            yield row.line, "%s: deviates and does not say why" % row.id


def references(row):
    """What the evidence cell names in back-quotes."""
    return _REFERENCE.findall(row.evidence)


def split_reference(reference):
    """`data_test Data.BothWays` -> ("net/tcp", "data_test", "Data.BothWays"); `//ctrl/x:y_test A.B` likewise.

    None for what has not that form.
    """
    match = re.match(r"^(?://([\w/]+):)?(\w+) (\w+\.\w+)$", reference)
    return (match.group(1) or "net/tcp", match.group(2), match.group(3)) if match else None


def tests_in_sources(root):
    """{(package, target): {"Suite.Name", ...}} of every *_test.cc, whose target has the file's name."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith((".", "bazel-"))]
        for name in files:
            if name.endswith("_test.cc"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    cases = {"%s.%s" % pair for pair in _TEST_MACRO.findall(file.read())}
                found[(os.path.relpath(folder, root), name[: -len(".cc")])] = cases
    return found


def source_faults(rows, root):
    """(line, message) for evidence that is not in the tree."""
    tests = tests_in_sources(root)
    for row in rows:
        for reference in references(row):
            if reference.endswith(".pkt"):
                if not os.path.exists(os.path.join(root, "net/tcp/scripts", reference)):
                    yield row.line, "%s: there is no script %s" % (row.id, reference)
                continue
            parts = split_reference(reference)
            if parts is None:
                yield row.line, "%s: `%s` is neither `target Suite.Name` nor a .pkt" % (row.id, reference)
            elif parts[2] not in tests.get(parts[:2], ()):
                yield row.line, "%s: //%s:%s has no %s" % (row.id, parts[0], parts[1], parts[2])
