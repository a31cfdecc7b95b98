"""Where a stack keeps uploaded files and finished runs, how much of them and for how long."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.base import Duration, Quantity, SecretName, SecretRef, SpecModel, addressable

Origin = Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s/?#@]+/?$"), AfterValidator(addressable)]
_EPHEMERAL: Final = Quantity("768Mi")


def _retention(value: Duration) -> Duration:
    if not 60 <= value.seconds <= 31_536_000:
        raise ValueError("storage.retention must be from 1m to 8760h: write a duration such as 168h")
    return value


def _kept(value: Quantity) -> Quantity:
    if not 2**20 <= value.value <= 1000 * 2**30:
        raise ValueError(
            "storage.maxFileBytes and storage.maxRunBytes must be from 1Mi to 1000Gi: write a quantity such as 1Gi"
        )
    return value


class Claim(SpecModel):
    """A PersistentVolumeClaim of the same namespace."""

    claim_name: SecretName


class ObjectStore(SpecModel):
    """A bucket, and the Secret with its credentials and options."""

    url: Annotated[str, Field(max_length=1024, pattern=r"^(s3|gs|az)://[a-z0-9][-a-z0-9._]*(/[!-~]*)?$")]
    endpoint: Origin | None = None
    secret_ref: SecretRef | None = None


class Storage(SpecModel):
    """One of three kinds of storage, and its bounds."""

    type: Literal["Ephemeral", "PersistentVolumeClaim", "ObjectStore"] = "Ephemeral"
    persistent_volume_claim: Claim | None = None
    object_store: ObjectStore | None = None
    max_file_bytes: Annotated[Quantity, AfterValidator(_kept)] = Quantity("512Mi")
    max_run_bytes: Annotated[Quantity, AfterValidator(_kept)] = Quantity("128Mi")
    retention: Annotated[Duration, AfterValidator(_retention)] = Duration("168h")
    store_runs: bool = True

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        claim, store = self.persistent_volume_claim is not None, self.object_store is not None
        if (self.type == "PersistentVolumeClaim") != claim or (self.type == "ObjectStore") != store:
            raise ValueError(
                "storage.type names the one field beside it: persistentVolumeClaim for PersistentVolumeClaim, "
                "objectStore for ObjectStore, neither for Ephemeral"
            )
        if self.type == "Ephemeral" and self.max_file_bytes.value + self.max_run_bytes.value > _EPHEMERAL.value:
            raise ValueError(
                "storage of type Ephemeral is a part of the pod's scratch folder: "
                "lower maxFileBytes and maxRunBytes to 768Mi together, or choose another type"
            )
        return self
