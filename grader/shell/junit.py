"""Reports as JUnit's XML, for continuous integration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from grader.model.types import CheckResult, Report

_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(reports: Sequence[Report]) -> bytes:
    """One test suite for each report, one test case for each check."""
    root = ElementTree.Element("testsuites")
    for report in reports:
        root.append(_suite(report))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _suite(report: Report) -> ElementTree.Element:
    counts = [check.outcome for check in report.checks]
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(report.exercise),
        tests=str(len(counts)),
        failures=str(counts.count("failed")),
        errors=str(counts.count("error") + counts.count("timeout")),
        skipped=str(counts.count("skipped")),
        time=f"{report.seconds:.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("submission", "scope", "seed", "status", "score", "max_score"):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(str(getattr(report, name))))
    for check in report.checks:
        suite.append(_case(report, check))
    return suite


def _case(report: Report, check: CheckResult) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=_clean(f"{report.exercise}.{check.step}"), name=_clean(check.name))
    tag = {"passed": "", "failed": "failure", "skipped": "skipped"}.get(check.outcome, "error")
    if tag:
        message = check.message or report.message
        first = message.split("\n")[0]
        ElementTree.SubElement(case, tag, message=_clean(first), type=check.outcome).text = _clean(message)
    return case


def _clean(text: str) -> str:
    """XML has no way to write most control characters and lone surrogates."""
    return _UNWRITABLE.sub("", text)
