"""Finds function bodies in C++ text and measures them, without a compiler.

The text is first blanked: comments, literals and preprocessor lines become spaces, so that every brace left is a real one.
Then the braces are walked. A brace opens a function when what stands before it, since the last `;`, `{` or `}`, ends like a
function's head: parameters in parentheses, then qualifiers, a return type or constructor initialisers. Lambdas and blocks
inside a function count as lines of that function.
"""

import re

_TOKEN = re.compile(
    r"""
    (?P<raw>\b(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)")
  | (?P<line>//(?:\\\n|[^\n])*)
  | (?P<block>/\*.*?(?:\*/|\Z))
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<number>\b[0-9](?:'?[0-9a-zA-Z_.])*)
  | (?P<char>'(?:\\.|[^'\\\n])+')
  | (?P<directive>^[ \t]*\#(?:\\\n|/\*.*?\*/|[^\n])*)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)

_SCOPE = re.compile(r"^(?:(?:inline\s+)?namespace\b|extern\s*$)")
_TYPE = re.compile(r"^(?:template\s*<.*>\s*)?(?:typedef\s+)?(?:class|struct|union)\b[^()=]*$", re.DOTALL)
_ACCESS = re.compile(r"^(?:(?:public|private|protected)\s*:(?!:)\s*)+")
_LAMBDA = re.compile(r"\[[^\[\]]*\]\s*(?:\(\))?\s*(?:mutable|noexcept|->[\w:<>,*&\s]+|\s)*$")
_ASSIGNED = re.compile(r"(?<![<>=!])=(?!=)")


def blank(text):
    """Returns text with comments, literals and preprocessor lines as spaces. Line numbers stay."""

    def replace(match):
        if match.lastgroup == "number" or match.group("number") is not None:
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())

    return _TOKEN.sub(replace, text)


def _flat(head):
    """The head with each outermost pair of parentheses or braces, and what is inside, as `()`, and no attributes."""
    head = _ACCESS.sub("", head.strip())
    head = re.sub(r"\[\[[^\[\]]*\]\]", " ", head)
    previous = None
    while previous != head:
        previous = head
        head = re.sub(r"\([^(){}]*\)|\{[^(){}]*\}", "\0", head)
    return head.replace("\0", "()").strip()


def _kind(head):
    """What a brace after this head opens: a "scope" (its content is walked), a "function", or a "value"."""
    flat = _flat(head)
    if _SCOPE.match(flat):
        return "scope"
    if _LAMBDA.search(flat):
        return "function"
    if "operator" in flat:
        return "function" if "()" in flat else "value"
    if re.search(r"\benum\b", flat):
        return "value"
    if _TYPE.match(flat):
        return "scope"
    parameters = flat.find("()")
    if parameters < 0 or _ASSIGNED.search(flat[:parameters]):
        return "value"
    initialisers = re.search(r"(?<!:):(?!:)", flat[parameters:])
    if initialisers and re.search(r"[\w>]$", flat):
        return "value"  # A constructor's `member_{...}`; its body comes after `)` or `}`.
    return "function"


def _partners(text):
    """Maps the offset of each `{` to that of its `}` (the end of the text when there is none)."""
    partners, open_braces = {}, []
    for match in re.finditer(r"[{}]", text):
        if match.group() == "{":
            open_braces.append(match.start())
        elif open_braces:
            partners[open_braces.pop()] = match.start()
    partners.update((at, len(text)) for at in open_braces)
    return partners


def _name(head):
    head = _ACCESS.sub("", head.strip())
    if re.match(r"(?:TYPED_)?(?:TEST|BENCHMARK)\w*\s*\(", head):
        return " ".join(head.split())
    match = re.search(r"(operator\b[^(]*(?:\(\))?|[\w~:]+)\s*\(", head)
    return match.group(1).strip() if match else " ".join(head.split())[:40]


def functions(text):
    """Yields (first line of the head, last line of the body, name) of every outermost function in C++ text."""
    text = blank(text)
    partners = _partners(text)
    head_start, skip_to, parentheses = 0, 0, 0
    for match in re.finditer(r"[{};()]", text):
        at, token = match.start(), match.group()
        if at < skip_to:
            continue
        if token in "()":
            parentheses = max(0, parentheses + (1 if token == "(" else -1))
        elif token == "{":
            head = text[head_start:at]
            kind = "value" if parentheses else _kind(head)
            if kind == "scope":
                head_start = at + 1
                continue
            skip_to = partners[at] + 1
            if kind == "function":
                first = head_start + re.match(r"(?:\s|(?:public|private|protected)\s*:(?!:))*", head).end()
                yield text.count("\n", 0, first) + 1, text.count("\n", 0, skip_to - 1) + 1, _name(head)
                head_start = skip_to
        elif not parentheses:
            head_start = at + 1
