"""TLS between the inference and sandbox pods of a pool: who issues the certificates."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlm_operator.spec.base import SpecModel

IssuerName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class IssuerRef(SpecModel):
    """An issuer of cert-manager, or of another group that issues for it."""

    name: IssuerName
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")] = "Issuer"
    group: IssuerName = "cert-manager.io"


class Tls(SpecModel):
    """`issuer_ref` is for CertManager alone."""

    mode: Literal["Operator", "CertManager", "Disabled"] = "Operator"
    issuer_ref: IssuerRef | None = None

    @model_validator(mode="after")
    def _issuer(self) -> Self:
        if (self.mode == "CertManager") != (self.issuer_ref is not None):
            raise ValueError(
                "tls.issuerRef goes with tls.mode CertManager: name the issuer there, or remove issuerRef for other "
                "modes"
            )
        return self
