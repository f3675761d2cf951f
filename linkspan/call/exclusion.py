"""Acting on an attachment while none of its plugin's verbs does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.cni.model import Attachment
    from linkspan.host.contract import Host


def exclusively(host: Host, plugin: str, attachment: Attachment, act: Callable[[], object]) -> None:
    """Call `act` once no ADD, DEL or CHECK of the plugin is at work on the attachment.

    For GC and reload, which judge many attachments: without the lock they would act on half of an ADD.
    """
    with host.files.lock_attachment(plugin, attachment):
        act()
