"""A participant at work: what its caller is told when its business code or its file fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from participants.errors import BusinessError, Unavailable
from participants.hosting import Hosted, open_hosted
from tests.unit.participants.kit import TillService, an_execute


@pytest_asyncio.fixture
async def hosted(tmp_path: Path) -> AsyncIterator[Hosted]:
    opened = open_hosted(TillService(), tmp_path)
    yield opened
    await opened.close()


async def test_of_business_code_that_breaks_the_kind_and_the_line_are_told_and_no_text(
    hosted: Hosted,
) -> None:
    assert isinstance(hosted.participant, TillService)
    hosted.participant.mood = "explode"
    with pytest.raises(BusinessError, match=r"^RuntimeError in kit\.py:\d+$") as caught:
        await hosted.perform(an_execute())
    assert caught.value.__cause__ is None


async def test_that_a_file_takes_nothing_more_is_no_fault_of_the_business_code(hosted: Hosted) -> None:
    await hosted.close()
    with pytest.raises(Unavailable, match=r"^The service is not taking calls\.$"):
        await hosted.perform(an_execute())
