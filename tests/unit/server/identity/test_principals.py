"""As whom the server does work that no request asked for."""

import pytest

from easymlnb.contract.errors import Forbidden
from easymlnb_server.identity.access import Caller, SingleUserDirectory
from easymlnb_server.identity.principals import Principals

ANN = Caller("ann", admin=True)


class Directory:
    """Ann may log in; the name of Bob was another user's before."""

    async def find(self, name: str) -> Caller | None:
        return {"ann": ANN, "bob": Caller("bob", names=frozenset())}.get(name)

    def known(self, name: str) -> Caller | None:
        return None


@pytest.mark.parametrize(("on_hub", "owner"), [(False, "user"), (True, "user ann")])
async def test_a_personal_server_works_as_its_user(on_hub: bool, owner: str) -> None:
    users = Principals(SingleUserDirectory(), ANN, shared=False, on_hub=on_hub)
    assert await users.find("") == (ANN, owner)
    assert await users.find("somebody") == (ANN, owner)


async def test_a_shared_server_works_as_users_who_may_log_in() -> None:
    users = Principals(Directory(), Caller("hub"), shared=True, on_hub=False)
    assert await users.find("ann") == (ANN, "user ann")
    for name in ("bob", "nobody", ""):
        with pytest.raises(Forbidden, match="may log in"):
            await users.find(name)
