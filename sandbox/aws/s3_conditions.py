"""Checks the S3 conditions that moto 5.2.5 ignores: on copies, bulk deletes and completed uploads.

moto itself checks the conditions on GetObject, PutObject and DeleteObject. Check and change are one step, because `S3`
serves one request at a time.
"""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import xmltodict
from moto.s3.exceptions import MissingKey, PreconditionFailed, S3ClientError
from moto.s3.models import FakeKey
from moto.s3.responses import S3Response


class ConditionalS3Response(S3Response):
    """Refuses stale ETags in the calls for which moto does not check them."""

    def copy_object(self) -> Any:
        self._require_source()
        self._require_destination()
        return super().copy_object()

    def upload_part_copy(self) -> Any:
        self._require_source()
        return super().upload_part_copy()

    def _key_response_post(
        self, request: Any, body: bytes, bucket_name: str, query: dict[str, Any], key_name: str
    ) -> Any:
        if query.get("uploadId") and self.headers.get("If-Match"):
            self._require_destination()
        return super()._key_response_post(request, body, bucket_name, query, key_name)

    def _bucket_response_delete_keys(self, bucket_name: str, authenticated: bool = True) -> Any:
        request = xmltodict.parse(self.body, strip_whitespace=False, force_list=("Object",))
        refused = {}
        accepted = []
        for entry in request["Delete"].get("Object", []):
            error = self._deletion_error(bucket_name, entry)
            if error:
                refused[entry["Key"]] = {"Key": entry["Key"], "Code": error.code, "Message": error.message}
            else:
                accepted.append(entry)
        if not refused:
            return super()._bucket_response_delete_keys(bucket_name, authenticated)

        deleted = []
        errors = list(refused.values())
        if accepted:
            self.body = xmltodict.unparse({"Delete": {"Object": accepted}}).encode()
            _, _, answer = super()._bucket_response_delete_keys(bucket_name, authenticated)
            result = xmltodict.parse(answer, strip_whitespace=False, force_list=("Deleted", "Error"))
            deleted = result["DeleteResult"].get("Deleted", [])
            errors += result["DeleteResult"].get("Error", [])
        quiet = str(request["Delete"].get("Quiet", "false")).strip().lower() == "true"
        content = {"@xmlns": "http://s3.amazonaws.com/doc/2006-03-01/", "Error": errors}
        if not quiet:
            content["Deleted"] = deleted
        return 200, {"content-type": "application/xml"}, xmltodict.unparse({"DeleteResult": content})

    def _deletion_error(self, bucket_name: str, entry: dict[str, Any]) -> S3ClientError | None:
        if not entry.get("ETag"):
            return None
        key = self.backend.get_object(bucket_name, entry["Key"])
        if key is None:
            return MissingKey(key=entry["Key"])
        return None if _matches(entry["ETag"], key) else PreconditionFailed("If-Match")

    def _require_source(self) -> None:
        wanted = self.headers.get("x-amz-copy-source-if-match")
        unwanted = self.headers.get("x-amz-copy-source-if-none-match")
        source = urlsplit(self.headers["x-amz-copy-source"])
        bucket_name, key_name = unquote(source.path).lstrip("/").split("/", 1)
        version_id = parse_qs(source.query).get("versionId", [None])[0]
        key = self.backend.get_object(bucket_name, key_name, version_id=version_id)
        if key is None:
            return  # moto reports whether bucket, key or version is missing
        if wanted and not _matches(wanted, key):
            raise PreconditionFailed("x-amz-copy-source-If-Match")
        if unwanted and _matches(unwanted, key):
            raise PreconditionFailed("x-amz-copy-source-If-None-Match")

    def _require_destination(self) -> None:
        key_name = self.parse_key_name()
        key = self.backend.get_object(self.bucket_name, key_name)
        if wanted := self.headers.get("If-Match"):
            if key is None:
                raise MissingKey(key=key_name)
            if not _matches(wanted, key):
                raise PreconditionFailed("If-Match")
        if self.headers.get("If-None-Match") == "*" and key is not None:
            raise PreconditionFailed("If-None-Match")


def _matches(condition: str, key: FakeKey) -> bool:
    return condition == "*" or condition.replace('"', "") == key.etag.replace('"', "")
