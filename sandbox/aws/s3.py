"""moto's S3, serving one request at a time, with its objects stored in an `ObjectStore`."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from wsgiref.types import WSGIApplication

from moto.s3.exceptions import MissingKey, NoSuchUpload
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, S3Backend, s3_backends

from sandbox.aws.object_store import ObjectStore, StoredValue, StoredVersion
from sandbox.aws.s3_conditions import ConditionalS3Response

# The header of an object that KMS encrypts. Hadoop's client sends it back in copies, and then Java's SDK requires TLS.
KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"

KEPT_ATTRIBUTES = (
    "encryption",
    "kms_key_id",
    "checksum_algorithm",
    "checksum_value",
    "checksum_type",
    "checksum_parts",
    "website_redirect_location",
)


class PersistedS3Backend(S3Backend):
    """Records the buckets and keys that a request has changed; `S3` then stores them."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.changed_buckets: set[str] = set()
        self.changed_keys: set[tuple[str, str]] = set()
        self.restored_buckets: set[str] = set()

    @property
    def url_paths(self) -> dict[str, Callable[..., Any]]:
        return {path: getattr(ConditionalS3Response, view.__name__) for path, view in super().url_paths.items()}

    def create_bucket(self, bucket_name: str, region_name: str, bucket_namespace: str | None = None) -> FakeBucket:
        # After a restart, provisioning creates the bucket again, and gets the restored one with its objects.
        if bucket_name in self.restored_buckets:
            self.restored_buckets.remove(bucket_name)
            return self.buckets[bucket_name]
        self.changed_buckets.add(bucket_name)
        return super().create_bucket(bucket_name, region_name, bucket_namespace)

    def delete_bucket(self, bucket_name: str) -> FakeBucket | None:
        self.changed_buckets.add(bucket_name)
        self.restored_buckets.discard(bucket_name)
        return super().delete_bucket(bucket_name)

    def put_bucket_versioning(self, bucket_name: str, status: str) -> None:
        self.changed_buckets.add(bucket_name)
        super().put_bucket_versioning(bucket_name, status)

    def list_objects(self, bucket: FakeBucket, prefix: str | None, *arguments: Any, **options: Any) -> Any:
        # moto would look up every key of the bucket, and would also list the common prefixes of deleted objects.
        found = {name: bucket.keys[name] for name in bucket.keys if name.startswith(prefix or "")}
        present = {name: key for name, key in found.items() if not isinstance(key, FakeDeleteMarker)}
        return super().list_objects(SimpleNamespace(keys=present), prefix, *arguments, **options)  # type: ignore[arg-type]

    def put_object(self, bucket_name: str, key_name: str, *arguments: Any, **options: Any) -> FakeKey:
        self.changed_keys.add((bucket_name, key_name))
        return super().put_object(bucket_name, key_name, *arguments, **options)

    def delete_object(self, bucket_name: str, key_name: str, *arguments: Any, **options: Any) -> Any:
        self.changed_keys.add((bucket_name, key_name))
        return super().delete_object(bucket_name, key_name, *arguments, **options)

    def put_object_tagging(self, key: FakeKey, tags: dict[str, str] | None) -> FakeKey:
        self.changed_keys.add((str(key.bucket_name), key.name))
        return super().put_object_tagging(key, tags)

    def delete_object_tagging(self, bucket_name: str, key_name: str, version_id: str | None = None) -> None:
        self.changed_keys.add((bucket_name, key_name))
        super().delete_object_tagging(bucket_name, key_name, version_id)

    def upload_part(self, bucket_name: str, multipart_id: str, *arguments: Any) -> FakeKey:
        self._upload(bucket_name, multipart_id)
        return super().upload_part(bucket_name, multipart_id, *arguments)

    def upload_part_copy(self, dest_bucket_name: str, multipart_id: str, *arguments: Any, **options: Any) -> FakeKey:
        self._upload(dest_bucket_name, multipart_id)
        return super().upload_part_copy(dest_bucket_name, multipart_id, *arguments, **options)

    def complete_multipart_upload(self, bucket_name: str, multipart_id: str, body: Any) -> FakeKey | None:
        self._upload(bucket_name, multipart_id)
        return super().complete_multipart_upload(bucket_name, multipart_id, body)

    def _upload(self, bucket_name: str, multipart_id: str) -> FakeMultipart:
        # For an unknown upload (for example after a restart of the server) moto raises KeyError, and so answers 500.
        upload = self.get_bucket(bucket_name).multiparts.get(multipart_id)
        if upload is None:
            raise NoSuchUpload(upload_id=multipart_id)
        return upload


class S3:
    """moto's S3 behind one lock, so that checking a condition, changing and storing are one step, as on S3.

    Reads take the lock, too, because moto reads values and computes ETags through one shared file position per object.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    def install(self) -> None:
        """Makes this process's S3 the persisted one, and loads it; call it before moto's first request."""
        s3_backends.backend = PersistedS3Backend
        for name, attributes in self._store.buckets().items():
            self._restore_bucket(s3_backends[attributes["account_id"]][attributes["partition"]], name, attributes)

    def wrap(self, application: WSGIApplication) -> WSGIApplication:
        """Wraps the application, so that it serves one request at a time, and answers after storing the changes."""

        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            body = _received_body(environ)
            if body is None:
                start_response("400 Bad Request", [("Content-Length", "0"), ("Connection", "close")])
                return [b""]
            environ["wsgi.input"] = BytesIO(body)
            answer: list[Any] = []

            def note_start(*arguments: Any) -> Callable[[bytes], object]:
                status, headers, *rest = arguments
                answer[:] = [status, [header for header in headers if header[0].lower() != KEY_HEADER], *rest]
                return lambda _: None

            with self._lock:
                content = application(environ, note_start)
                self._store_changes()
            start_response(*answer)
            return content

        return serve

    def read(self, bucket: str, key: str, account_id: str) -> bytes:
        """Returns an object's bytes. Raises `S3ClientError` if bucket or key is missing."""
        with self._lock:
            found = s3_backends[account_id]["aws"].get_object(bucket, key)
            if found is None:
                raise MissingKey(key=key)
            value: bytes = found.value
            return value

    def _store_changes(self) -> None:
        for account in list(s3_backends.values()):
            for backend in list(account.values()):
                self._store_changes_of(backend)

    def _store_changes_of(self, backend: S3Backend) -> None:
        assert isinstance(backend, PersistedS3Backend)
        for name in list(backend.changed_buckets):
            bucket = backend.buckets.get(name)
            if bucket is None:
                self._store.remove_bucket(name)
            else:
                self._store.save_bucket(name, _bucket_attributes(bucket))
            backend.changed_buckets.discard(name)
        for name, key_name in list(backend.changed_keys):
            bucket = backend.buckets.get(name)
            if bucket is not None:
                versions = bucket.keys.getlist(key_name, [])
                self._store.save(name, key_name, [self._stored_version(backend, name, item) for item in versions])
            backend.changed_keys.discard((name, key_name))

    def _stored_version(
        self, backend: S3Backend, bucket_name: str, version: FakeKey | FakeDeleteMarker
    ) -> StoredVersion:
        modified = version.last_modified.replace(tzinfo=UTC)
        if isinstance(version, FakeDeleteMarker):
            return StoredVersion(version.version_id, modified, None)
        attributes: dict[str, Any] = {name: getattr(version, name) for name in KEPT_ATTRIBUTES}
        attributes |= {
            "size": version.size,
            "etag": version.etag.strip('"'),
            "storage": version.storage_class,
            "is_versioned": version._is_versioned,
            "metadata": dict(version.metadata),
        }
        tags = backend.tagger.get_tag_dict_for_resource(version.arn)
        buffer: Any = version._value_buffer
        if not isinstance(buffer, StoredValue):
            stored = self._store.write_value(bucket_name, version.name, version.value)
            _read_from(version, stored)
            buffer.close()
            buffer = stored
        return StoredVersion(version.version_id, modified, buffer.path.name, attributes, tags)

    def _restore_bucket(self, backend: S3Backend, name: str, attributes: dict[str, Any]) -> None:
        assert isinstance(backend, PersistedS3Backend)
        bucket = backend.create_bucket(name, attributes["region_name"])
        bucket.versioning_status = attributes["versioning_status"]
        bucket.creation_date = datetime.fromisoformat(attributes["creation_date"])
        for key_name, versions in self._store.load(name):
            restored: list[FakeKey | FakeDeleteMarker] = []
            for version in versions:
                if version.value_file is None:
                    restored.append(_restored_delete_marker(key_name, version))
                else:
                    value = self._store.stored_value(name, version.value_file)
                    restored.append(_restored_key(backend, bucket, key_name, version, value))
            bucket.keys.setlist(key_name, restored)
        backend.changed_buckets.clear()
        backend.changed_keys.clear()
        backend.restored_buckets.add(name)


def _bucket_attributes(bucket: FakeBucket) -> dict[str, Any]:
    return {
        "account_id": bucket.account_id,
        "partition": bucket.partition,
        "region_name": bucket.region_name,
        "versioning_status": bucket.versioning_status,
        "creation_date": bucket.creation_date.isoformat(),
    }


def _restored_key(
    backend: S3Backend, bucket: FakeBucket, name: str, version: StoredVersion, value: StoredValue
) -> FakeKey:
    kept = version.attributes
    key = FakeKey(
        name=name,
        value=b"",
        account_id=bucket.account_id,
        region_name=bucket.region_name,
        bucket_name=bucket.name,
        storage=kept["storage"],
        etag=kept["etag"],
        is_versioned=kept["is_versioned"],
        version_id=version.version_id,
    )
    for attribute in KEPT_ATTRIBUTES:
        setattr(key, attribute, kept[attribute])
    key.set_metadata(kept["metadata"], replace=False)
    key.last_modified = version.last_modified.replace(tzinfo=None)
    key.contentsize = kept["size"]
    _read_from(key, value)
    if version.tags:
        backend.tagger.tag_resource(key.arn, backend.tagger.convert_dict_to_tags_input(version.tags))
    return key


def _read_from(key: FakeKey, value: StoredValue) -> None:
    # With this, moto holds the object's bytes neither in memory nor in a temporary file.
    accessible: Any = key
    accessible._value_buffer = value


def _restored_delete_marker(name: str, version: StoredVersion) -> FakeDeleteMarker:
    marked: Any = SimpleNamespace(name=name)
    marker = FakeDeleteMarker(key=marked)
    marker.last_modified = version.last_modified.replace(tzinfo=None)
    marker._version_id = version.version_id
    return marker


def _received_body(environ: dict[str, Any]) -> bytes | None:
    """Returns the request's whole body; None if the client disconnected before its end (moto would store the part)."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        body: bytes = stream.read(int(length))
        return body if len(body) == int(length) else None
    return stream.read() if environ.get("wsgi.input_terminated") else b""
