"""A synchronous management API client in a few lines, for tests: scheme A over a form body."""

from __future__ import annotations

import io
import json
import os
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from runtime.data_dir import AccessKey
from runtime.signatures.rpc_v1 import signed_parameters
from tests.harness.polling import poll


class ManagementError(Exception):
    """The API refused; `code` is its stable code."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {body.get('Code')}: {body.get('Message')}")
        self.status = status
        self.code = body.get("Code")


class Management:
    """Calls actions of one endpoint."""

    def __init__(self, endpoint: str, key: AccessKey) -> None:
        self.endpoint = endpoint
        self._key = key

    def call(self, action: str, **parameters: str | int | bool) -> dict[str, Any]:
        """The answer of one action. Raises ManagementError."""
        form = signed_parameters(
            "POST",
            action,
            {name: str(value) for name, value in parameters.items()},
            access_key_id=self._key.key_id,
            secret=self._key.secret,
            now=datetime.now(UTC),
            nonce=os.urandom(16).hex(),
        )
        request = urllib.request.Request(
            f"{self.endpoint}/", data=urllib.parse.urlencode(form).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                raise ManagementError(error.code, json.loads(error.read())) from None

    def space(self, name: str = "tests") -> tuple[str, str]:
        """A new space: its id and client secret."""
        space_id = self.call("CreateSpace", Name=name)["SpaceId"]
        config = self.call("DescribeSpaceClientConfig", SpaceId=space_id)
        return space_id, config["ApiKey"]

    def server_secret(self, space_id: str) -> str:
        """PEM."""
        config = self.call("DescribeSpaceClientConfig", SpaceId=space_id, Detail=True)
        return str(config["PrivateKey"])

    def deploy(
        self, space_id: str, name: str, files: Mapping[str, str | bytes], **settings: int | str
    ) -> str:
        """Create the function if need be, upload and deploy. Returns the deployment id."""
        try:
            self.call("CreateFunction", SpaceId=space_id, Name=name, **settings)
        except ManagementError as error:
            if error.code != "FunctionAlreadyExists":
                raise
            if settings:
                self.call("UpdateFunction", SpaceId=space_id, Name=name, **settings)
        made = self.call("CreateFunctionDeployment", SpaceId=space_id, Name=name)
        upload = urllib.request.Request(made["UploadSignedUrl"], data=zip_of(files), method="PUT")
        with urllib.request.urlopen(upload, timeout=60):
            pass
        self.call("DeployFunction", SpaceId=space_id, DeploymentId=made["DeploymentId"])
        return str(made["DeploymentId"])

    def invoke(self, space_id: str, name: str, args: object = None) -> dict[str, Any]:
        """YunhanInvoke: outcome, result or error, bill."""
        return self.call("YunhanInvoke", SpaceId=space_id, Name=name, Args=json.dumps(args or {}))

    def job(self, job_id: str, **where: str) -> dict[str, Any]:
        """An asynchronous job as it is now."""
        return dict(self.call("YunhanDescribeJob", JobId=job_id, **where)["Job"])

    def job_over(self, job_id: str, seconds: float = 40.0, **where: str) -> dict[str, Any]:
        """That job once it is over."""

        def over() -> dict[str, Any] | None:
            job = self.job(job_id, **where)
            return None if job["State"] in {"queued", "running"} else job

        return poll(over, seconds, told=lambda: self.job(job_id, **where))

    def record(
        self,
        space_id: str,
        request_id: str,
        seconds: float = 10.0,
        *,
        action: str = "YunhanListFunctionLog",
    ) -> dict[str, Any]:
        """The record of one invocation; records are written in batches behind the call."""
        asked = {"SpaceId": space_id, "LogRequestId": request_id}
        rows = poll(
            lambda: list(self.call(action, **asked)["DataList"]),
            seconds,
            told=lambda: f"no record of {request_id}",
        )
        return dict(rows[0])


def zip_of(files: Mapping[str, str | bytes]) -> bytes:
    """A zip archive with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()
