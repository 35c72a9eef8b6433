"""Why the system or SQLite refused something, for people. It must not know what that was."""


def reason(error: BaseException | None) -> str:
    """Why SQLite or the system refused, in one line without a full stop."""
    name = getattr(error, "sqlite_errorname", None)
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"{text} ({name})" if name else text
