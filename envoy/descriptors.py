#!/usr/bin/env python3
"""Writes descriptors.binpb: the protobuf descriptors of Envoy's own configuration messages.

The control plane writes Envoy's resources as JSON and encodes them with these descriptors, so the messages
are exactly those of the Envoy that is pinned. Every Envoy binary carries the descriptors of all its protos;
this script finds them, keeps the messages that Weir writes with everything they refer to, and writes one
`google.protobuf.FileDescriptorSet`.

Run it after a new Envoy version has been pinned:

    python3 envoy/descriptors.py path/to/envoy        # or: make descriptors

The output depends on the binary alone: the same Envoy gives the same bytes.
"""

import argparse
import mmap
import pathlib
import re
import sys

WANTED = (
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/core/v3/extension.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/access_loggers/filters/cel/v3/cel.proto",
    "envoy/extensions/access_loggers/grpc/v3/als.proto",
    "envoy/extensions/access_loggers/stats/v3/stats.proto",
    "envoy/extensions/clusters/dns/v3/dns_cluster.proto",
    "envoy/extensions/filters/http/credential_injector/v3/credential_injector.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/jwt_authn/v3/config.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto",
    "envoy/extensions/filters/http/wasm/v3/wasm.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/http/injected_credentials/generic/v3/generic.proto",
    "envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto",
    "envoy/extensions/load_balancing_policies/override_host/v3/override_host.proto",
    "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.proto",
    "envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto",
    "envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.proto",
    "envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/router/cluster_specifiers/matcher/v3/matcher.proto",
    "envoy/extensions/router/cluster_specifiers/priority_group/v3/priority_group.proto",
    "envoy/extensions/transport_sockets/tls/v3/secret.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/type/matcher/v3/http_inputs.proto",
    "google/protobuf/wrappers.proto",
)

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# Field number -> wire type, of google.protobuf.FileDescriptorProto.
NAME, DEPENDENCY, OPTIONAL_DEPENDENCY = 1, 3, 15
FILE_FIELDS = {NAME: BYTES, 2: BYTES, DEPENDENCY: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES, 8: BYTES,
               9: BYTES, 10: VARINT, 11: VARINT, 12: BYTES, 14: VARINT, OPTIONAL_DEPENDENCY: BYTES}
SINGULAR = (NAME, 2, 8, 9, 12, 14)
MESSAGES = (4, 5, 6, 7, 8)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("envoy", type=pathlib.Path, help="the Envoy binary")
    arguments.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).with_suffix(".binpb"))
    options = arguments.parse_args()

    with options.envoy.open("rb") as binary, mmap.mmap(binary.fileno(), 0, access=mmap.ACCESS_READ) as image:
        files = find_files(image)
    missing = sorted(set(WANTED) - files.keys())
    if missing:
        sys.exit("not in this Envoy: " + ", ".join(missing))
    chosen = with_dependencies(files)
    options.output.write_bytes(b"".join(b"\x0a" + varint(len(files[name])) + files[name] for name in chosen))
    print(f"{options.output}: {len(chosen)} of {len(files)} files, {options.output.stat().st_size} bytes")


def find_files(image):
    """All serialized FileDescriptorProtos in the image, by name. A descriptor starts with its own name."""
    files = {}
    for start in re.finditer(rb"\x0a([\x08-\xff]\x01?)([a-z0-9_]+/[a-zA-Z0-9_/.-]+?\.proto)", image):
        length, _ = read_varint(image, start.start() + 1)
        if length != len(start.group(2)):
            continue
        end = end_of_file(image, start.start())
        content = image[start.start():end]
        name = start.group(2).decode()
        if len(content) > len(files.get(name, b"")):
            files[name] = content
    return files


def end_of_file(image, position):
    """Where the message that starts at `position` ends: at the first bytes that cannot be a field of it.

    The binary does not record the length. Fields are written in the order of their numbers, so a smaller one,
    or a second one where only one may be, begins something else.
    """
    last = 0
    while position < len(image):
        key, value_at = read_varint(image, position)
        if key is None:
            return position
        number, wire = key >> 3, key & 7
        if FILE_FIELDS.get(number) != wire or number < last or (number == last and number in SINGULAR):
            return position
        last = number
        value, after = read_varint(image, value_at)
        if value is None:
            return position
        end = after + value if wire == BYTES else after
        if end > len(image) or (wire == BYTES and number in MESSAGES and not is_message(image, after, end)):
            return position
        position = end
    return position


def is_message(image, position, end):
    """Whether the bytes can be read as a protobuf message to exactly `end`."""
    while position < end:
        key, position = read_varint(image, position)
        if not key or key >> 3 == 0:
            return False
        wire = key & 7
        if wire == VARINT:
            value, position = read_varint(image, position)
            if value is None:
                return False
        elif wire == BYTES:
            value, position = read_varint(image, position)
            if value is None:
                return False
            position += value
        elif wire in (FIXED64, FIXED32):
            position += 8 if wire == FIXED64 else 4
        else:
            return False
    return position == end


def dependencies(content):
    """Names of the files that a FileDescriptorProto imports."""
    position = 0
    while position < len(content):
        key, position = read_varint(content, position)
        value, position = read_varint(content, position)
        if key & 7 != BYTES:
            continue
        if key >> 3 in (DEPENDENCY, OPTIONAL_DEPENDENCY):
            yield content[position:position + value].decode()
        position += value


def with_dependencies(files):
    """The wanted files and all they import, imports first."""
    chosen = {}

    def add(name):
        if name in chosen:
            return
        if name not in files:
            sys.exit(f"not in this Envoy: {name}")
        for dependency in dependencies(files[name]):
            add(dependency)
        chosen[name] = None

    for name in WANTED:
        add(name)
    return list(chosen)


def read_varint(data, position):
    """The varint at `position` and the position after it; (None, position) if there is none."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            return None, position
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return None, position


def varint(value):
    """`value` as a varint."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


if __name__ == "__main__":
    main()
