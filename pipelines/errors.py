"""Every named error of the project, in one tree.

Each error says what was wrong (`message`), what is allowed or what to do (`hint`), and carries a stable `code`
for programs. Arguments go to `Exception.__init__`, so errors survive pickling between Ray processes.

    StashSenseError
    ├── InputError              a request or argument is not acceptable
    │   ├── PathNotAllowed      a path outside the configured roots
    │   ├── UrlNotAllowed       a URL outside the configured hosts
    │   ├── LimitExceeded       too many bytes, pixels, seconds or items
    │   ├── SettingUnknown      no setting of that name
    │   └── SettingFixed        a setting that is not changed over HTTP, or not here
    ├── MediaError              a file that cannot give pictures
    │   ├── MediaNotFound       no such file or resource
    │   ├── MediaEmpty          zero bytes, or no decodable frame at all
    │   ├── MediaCorrupt        the container or the pixels cannot be decoded
    │   ├── MediaNoVideo        no picture in it (audio only, text, ...)
    │   ├── MediaUnsupported    a format or codec that this build cannot open
    │   ├── MediaUnreachable    the server that holds it does not answer as it should
    │   └── MediaTimeout        decoding took longer than allowed
    ├── ModelError
    │   ├── PackUnknown         no pack of that id
    │   ├── ModelMissing        a model file is not there
    │   ├── ModelChecksumMismatch
    │   ├── ModelContractMismatch   inputs or outputs are not those of the pack
    │   ├── ModelFetchFailed    download or conversion failed
    │   ├── ProviderUnavailable an execution provider (GPU) was asked for that cannot be used here
    │   └── LicenceNotAccepted  the pack asks for a licence to be accepted once
    ├── DatabaseError           the performer database
    │   ├── DatabaseMissing     nothing is enrolled yet
    │   ├── DatabaseCorrupt     files and manifest disagree
    │   ├── PackMismatch        templates of another pack
    │   ├── ReleaseCorrupt      a released bundle is damaged, unsafe or not what it says
    │   ├── ReleaseUnsupported  a bundle of a format that cannot be imported here
    │   ├── ReleaseGap          a delta does not continue what is imported
    │   ├── ImporterMissing     the library that reads a bundle's index is not installed
    │   ├── VersionUnknown      no version of that id
    │   ├── SourceUnknown       no source of that id
    │   ├── VersionPinned       the server was started for one version only
    │   ├── PersonUnknown       nobody of that universal id is enrolled
    │   ├── ReleaseUnknown      no source of releases, or no release, of that name
    │   ├── ReleaseUnreachable  the server of releases does not answer, or not as it should
    │   └── ReleaseUnsigned     no valid signature, and a public key is configured
    ├── StashError              the Stash server
    │   ├── StashUnreachable    it does not answer, or answers 5xx
    │   ├── StashUnauthorized   it refuses the API key, or wants one
    │   ├── StashUnknownField   its version knows no such field, argument or type
    │   ├── StashNotFound       it has no such scene, image, gallery, ...
    │   └── StashRejected       it understood the request and refused it
    ├── StoreError              the SQL store or the dataset of scans
    │   ├── StoreUnreachable    its database cannot be opened
    │   ├── StoreTooNew         it was written by a later version of this program
    │   └── StoreCorrupt        a file of it cannot be read
    ├── JobError
    │   ├── JobUnknown          no job, or no job type, of that name
    │   ├── JobConflict         not possible in the state that the job is in
    │   └── Stopped             ended on request before it was done; nothing was changed
    ├── RecommendationError
    │   ├── RecommendationUnknown   no recommendation, batch or type of that name
    │   ├── ExportUnknown           no export of that id, or not any more
    │   └── RecommendationConflict  not possible in the state that it is in, or it is not what was seen
    ├── ActionError             what is done in Stash about a finding
    │   ├── ActionUnknown       no action, or no type of action, of that name
    │   └── ActionConflict      something is no longer what was seen, or not possible in its state
    ├── Unauthorized            no API key, or a wrong one
    ├── Overloaded              the queue is full; try again after `retry_after_s`
    └── StartupError            the server cannot start
        ├── PortInUse
        └── NotWritable
            └── NoSpace         too little space is free
"""

from __future__ import annotations

from typing import ClassVar


class StashSenseError(Exception):
    """Base of every named error.

    Args:
        message: what was wrong, with the offending value.
        hint: what is allowed, or what to do next; empty when the message says it all.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def hint(self) -> str:
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_dict(self) -> dict[str, str]:
        """Returns {"error": code, "message", "hint"}: the one error shape of HTTP and CLI."""
        return {"error": self.code, "message": self.message, "hint": self.hint}


class InputError(StashSenseError):
    code = "bad_input"


class PathNotAllowed(InputError):
    code = "path_not_allowed"


class UrlNotAllowed(InputError):
    code = "url_not_allowed"


class LimitExceeded(InputError):
    code = "limit_exceeded"


class SettingUnknown(InputError):
    code = "setting_unknown"


class SettingFixed(InputError):
    code = "setting_fixed"


class MediaError(StashSenseError):
    code = "media_error"


class MediaNotFound(MediaError):
    code = "media_not_found"


class MediaEmpty(MediaError):
    code = "media_empty"


class MediaCorrupt(MediaError):
    code = "media_corrupt"


class MediaNoVideo(MediaError):
    code = "media_no_video"


class MediaUnsupported(MediaError):
    code = "media_unsupported"


class MediaUnreachable(MediaError):
    code = "media_unreachable"


class MediaTimeout(MediaError):
    code = "media_timeout"


class ModelError(StashSenseError):
    code = "model_error"


class PackUnknown(ModelError):
    code = "pack_unknown"


class ModelMissing(ModelError):
    code = "model_missing"


class ModelChecksumMismatch(ModelError):
    code = "model_checksum_mismatch"


class ModelContractMismatch(ModelError):
    code = "model_contract_mismatch"


class ModelFetchFailed(ModelError):
    code = "model_fetch_failed"


class ProviderUnavailable(ModelError):
    code = "provider_unavailable"


class LicenceNotAccepted(ModelError):
    code = "licence_not_accepted"


class DatabaseError(StashSenseError):
    code = "database_error"


class DatabaseMissing(DatabaseError):
    code = "database_missing"


class DatabaseCorrupt(DatabaseError):
    code = "database_corrupt"


class PackMismatch(DatabaseError):
    code = "pack_mismatch"


class ReleaseCorrupt(DatabaseError):
    code = "release_corrupt"


class ReleaseUnsupported(DatabaseError):
    code = "release_unsupported"


class ReleaseGap(DatabaseError):
    code = "release_gap"


class ImporterMissing(DatabaseError):
    code = "importer_missing"


class VersionUnknown(DatabaseError):
    code = "version_unknown"


class SourceUnknown(DatabaseError):
    code = "source_unknown"


class VersionPinned(DatabaseError):
    code = "version_pinned"


class PersonUnknown(DatabaseError):
    code = "person_unknown"


class ReleaseUnknown(DatabaseError):
    code = "release_unknown"


class ReleaseUnreachable(DatabaseError):
    code = "release_unreachable"


class ReleaseUnsigned(DatabaseError):
    code = "release_unsigned"


class StashError(StashSenseError):
    code = "stash_error"


class StashUnreachable(StashError):
    code = "stash_unreachable"


class StashUnauthorized(StashError):
    code = "stash_unauthorized"


class StashUnknownField(StashError):
    code = "stash_unknown_field"


class StashNotFound(StashError):
    code = "stash_not_found"


class StashRejected(StashError):
    code = "stash_rejected"


class StoreError(StashSenseError):
    code = "store_error"


class StoreUnreachable(StoreError):
    code = "store_unreachable"


class StoreTooNew(StoreError):
    code = "store_too_new"


class StoreCorrupt(StoreError):
    code = "store_corrupt"


class JobError(StashSenseError):
    code = "job_error"


class JobUnknown(JobError):
    code = "job_unknown"


class JobConflict(JobError):
    code = "job_conflict"


class Stopped(JobError):
    code = "stopped"


class RecommendationError(StashSenseError):
    code = "recommendation_error"


class RecommendationUnknown(RecommendationError):
    code = "recommendation_unknown"


class ExportUnknown(RecommendationError):
    code = "export_unknown"


class RecommendationConflict(RecommendationError):
    code = "recommendation_conflict"


class ActionError(StashSenseError):
    code = "action_error"


class ActionUnknown(ActionError):
    code = "action_unknown"


class ActionConflict(ActionError):
    code = "action_conflict"


class Unauthorized(StashSenseError):
    code = "unauthorized"


class Overloaded(StashSenseError):
    """`retry_after_s`: whole seconds after which a retry is worth it."""

    code = "overloaded"

    def __init__(self, message: str, hint: str = "", retry_after_s: int = 2) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class StartupError(StashSenseError):
    code = "startup_failed"


class PortInUse(StartupError):
    code = "port_in_use"


class NotWritable(StartupError):
    code = "not_writable"


class NoSpace(NotWritable):
    code = "no_space"
