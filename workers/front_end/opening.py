"""How a server begins: setup declares, the store resolves the classes, and then there is something to offer."""

from __future__ import annotations

from dataclasses import dataclass

from scriptling.registry import Declaration
from workers.frames import Classes, Init, Registered
from workers.front_end.service import Offer, make_offer


@dataclass
class Opening:
    """What has come in so far.

    :ivar timeout: seconds of execution for functions without a time-out of their own
    """

    timeout: float
    registered: Registered | None = None
    classes: Classes | None = None

    @property
    def wants_stores(self) -> bool:
        """Whether any class was declared, so that object stores are needed."""
        return self.serves_plugin and bool(self.declaration.classes)

    @property
    def declaration(self) -> Declaration:
        """What the setup script declared; nothing while it has not."""
        return self.registered.declaration if self.registered else Declaration()

    @property
    def serves_plugin(self) -> bool:
        """Whether it is the plugin protocol that is served, and not methods of the script's own."""
        return self.declaration.serves_plugin

    @property
    def problems(self) -> list[str]:
        """Why the server cannot begin: a sentence for each reason."""
        found = list(self.registered.problems) if self.registered else []
        if self.classes and self.classes.problem:
            found.append(self.classes.problem)
        return found

    @property
    def complete(self) -> bool:
        """Whether everything is known that an offer needs."""
        return self.registered is not None and (self.classes is not None or not self.wants_stores)

    def offer(self) -> Offer:
        """Return what is served, once :attr:`complete`."""
        assert self.registered is not None
        classes = self.classes.classes if self.classes else ()
        return make_offer(self.registered.declaration, self.registered.functions, classes, self.timeout)

    def init(self) -> Init:
        """Return what every worker and every store are told."""
        assert self.registered is not None
        return Init(self.registered.declaration, self.classes.classes if self.classes else ())
