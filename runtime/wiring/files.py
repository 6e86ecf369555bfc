"""The files of spaces: what gateways and workers both need of them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from runtime.files import post_policy, signed_urls
from runtime.files.signed_urls import UrlSigner
from runtime.ports import Clock, FileRecords, FileStore
from runtime.sealing import SecretBox
from runtime.services.directory import SpaceDirectory
from runtime.services.file_addresses import PATH, FileAddresses
from runtime.services.file_calls import FileCalls
from runtime.services.file_changes import FileChanges
from runtime.services.file_downloads import FileDownloads
from runtime.services.file_remains import FileRemains
from runtime.services.file_sweeper import FileSweeper, FileSweepLimits
from runtime.services.file_upload_room import RoomLimits
from runtime.services.file_uploads import FileUploads, UploadLimits
from runtime.services.files import FileLimits, FileService
from runtime.settings import Settings
from sandbox.api import FileHosts


@dataclass(frozen=True, slots=True, kw_only=True)
class FileParts:
    """See the module."""

    addresses: FileAddresses
    service: FileService
    calls: FileCalls
    uploads: FileUploads
    downloads: FileDownloads
    remains: FileRemains
    sweeper: FileSweeper


def build_files(
    settings: Settings,
    *,
    records: FileRecords,
    files: FileStore,
    directory: SpaceDirectory,
    box: SecretBox,
    clock: Clock,
) -> FileParts:
    """Without I/O. The keys are the installation's: what one gateway signed every other takes."""
    urls = UrlSigner(box.derive(signed_urls.KEY_PURPOSE))
    policy_key = box.derive(post_policy.KEY_PURPOSE)
    addresses = FileAddresses(
        upload_host=upload_host(settings),
        cdn_host=settings.files_cdn_host or upload_host(settings),
        endpoint=settings.endpoint,
        urls=urls,
        clock=clock,
    )
    remains = FileRemains(records=records, files=files, clock=clock)
    service = FileService(
        records=records,
        changes=FileChanges(records=records, remains=remains, clock=clock),
        spaces=directory,
        addresses=addresses,
        policy_key=policy_key,
        clock=clock,
        limits=FileLimits(
            max_bytes=settings.file_max_bytes,
            sign_ttl_s=settings.file_sign_ttl_s,
            url_ttl_s=settings.file_url_ttl_s,
            url_ttl_max_s=settings.file_url_ttl_max_s,
            page_max=settings.file_page_max,
        ),
    )
    return FileParts(
        addresses=addresses,
        service=service,
        calls=FileCalls(service),
        uploads=FileUploads(
            records=records,
            files=files,
            spaces=directory,
            policy_key=policy_key,
            urls=urls,
            clock=clock,
            limits=UploadLimits(
                max_bytes=settings.file_max_bytes,
                room=RoomLimits(
                    per_space=settings.file_uploads_open_max_per_space,
                    per_user=settings.file_uploads_open_max_per_user,
                    reserved_percent=settings.file_uploads_reserved_percent,
                ),
                ttl_s=settings.file_sign_ttl_s,
                store_s=settings.file_store_timeout_s,
            ),
        ),
        downloads=FileDownloads(
            records=records, files=files, spaces=directory, urls=urls, clock=clock
        ),
        remains=remains,
        sweeper=FileSweeper(
            records=records,
            remains=remains,
            clock=clock,
            limits=FileSweepLimits(
                every_s=settings.file_sweep_s,
                grace_s=settings.file_sweep_grace_s,
                batch_max=settings.file_sweep_batch_max,
            ),
        ),
    )


def upload_host(settings: Settings) -> str:
    """host[:port][/prefix] at which the SDKs reach us over https."""
    if settings.files_upload_host:
        return settings.files_upload_host
    public = urlsplit(settings.public_url)
    if public.scheme == "https" or settings.https_address is None:
        at = urlsplit(settings.endpoint)
        return f"{at.netloc}{at.path}{PATH}"
    host, port = settings.https_address
    return f"{_name_of(host)}:{port}{PATH}"


def file_hosts(addresses: FileAddresses, inside: str) -> FileHosts | None:
    """How functions reach files whose public addresses name this machine itself, which in a sandbox is the
    sandbox. None where they name any other host: the way there is the network's. `inside` is the URL at which
    sandboxes send files."""
    name = urlsplit(f"//{addresses.cdn_host}").hostname or ""
    if not _is_this_machine(name):
        return None
    return FileHosts(public=f"https://{addresses.cdn_host}", internal=inside)


def _is_this_machine(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """`localhost` for this machine's own and for all addresses: hosts of mini programs take names more
    willingly than numbers, and the local certificate has it."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_loopback or address.is_unspecified:
        return "localhost"
    return f"[{host}]" if address.version == 6 else host
