"""Server reflection, so that grpcurl needs no proto files: v1alpha, and v1 as the same under its name."""

from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from grpc import aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1_SERVICE: Final = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: aio.Server, services: Iterable[str]) -> None:
    """Let *server* describe *services* and everything they mention."""
    names = (*services, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(names, pool=_KnownFiles())
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    # v1 has the messages of v1alpha. It is served and not listed: it has no descriptor of its own here,
    # and a `grpcurl describe` of everything would fail on it.
    for service in (reflection.SERVICE_NAME, V1_SERVICE):
        handler = grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": method})
        server.add_generic_rpc_handlers([handler])


class _KnownFiles:
    """The default pool, which also finds the file of a method: `grpcurl describe` of one asks for that."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def FindFileByName(self, name: str) -> FileDescriptor:
        return self._pool.FindFileByName(name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file

    def FindMessageTypeByName(self, name: str) -> Descriptor:
        return self._pool.FindMessageTypeByName(name)

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:
        return self._pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> list[FieldDescriptor]:
        return self._pool.FindAllExtensions(message)
