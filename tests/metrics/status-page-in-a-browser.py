"""URL, with TEST_FOLDER, SERVER_PID and perhaps SCREENSHOT: see the script of this name."""
import os
import signal
import sys
import time
import urllib.request

from webdriver import Browser

ENTER, TAB = "\ue007", "\ue004"
url = sys.argv[1]
names = ["<b>bold</b>", "backup", "vm7", "vm9", "vm10", "web-1"]
column = "return [...document.querySelectorAll(`#exports tbody td:nth-child(${arguments[0]})`)].map(td => td.textContent)"
browser = Browser(os.environ["TEST_FOLDER"])


def wait_for(script, what, seconds=30):
    end = time.monotonic() + seconds
    while not (value := browser.run(script)):
        assert time.monotonic() < end, f"not so after {seconds} s: {what}"
        time.sleep(0.1)
    return value


def rows(number=1):
    return browser.run(column, number)


try:
    browser.open(url + "/")
    wait_for("return document.querySelectorAll('#exports tbody tr').length === 6", "six exports")
    assert sorted(rows()) == sorted(names), rows()
    assert browser.run("return document.querySelectorAll('table b').length") == 0, "a name became an element"
    assert browser.run("return document.title") == "nbdcrypt"

    # ---- the charts move ----
    line = "return document.querySelector('#iops .one').getAttribute('d')"
    wait_for("return (document.querySelector('#iops .one').getAttribute('d').match(/L/g) || []).length >= 3", "a line in a chart")
    first = browser.run(line)
    wait_for(f"return (() => {{ {line} }})() !== {first!r}", "another line")
    assert wait_for("return document.querySelector('#iops').getAttribute('aria-label')", "a label").startswith("per second ")
    for chart in "throughput", "latency":
        assert "L" in browser.run(f"return document.querySelector('#{chart} .one').getAttribute('d')"), chart
        assert browser.run(f"return document.querySelector('#{chart} .two').getAttribute('d')"), chart
    busiest = wait_for("return document.querySelector('#exports tbody td:nth-child(6)').textContent !== '0' && "
                       "document.querySelector('#exports tbody td').textContent", "load")
    assert busiest in ("vm7", "vm10", "web-1"), busiest
    assert browser.run("return document.querySelectorAll('#clients tbody tr').length") >= 4
    assert browser.run("return document.querySelector('#clients tbody td').textContent").startswith("client pid ")
    limits = browser.run("return [...document.querySelectorAll('#exports td:nth-child(12)')].map(td => td.textContent)")
    assert sorted(limits) == ["bandwidth 200 MiB/s"] + 5 * ["none"], limits
    warnings = browser.run("return [...document.querySelectorAll('#warnings li')].map(li => li.textContent)")
    assert warnings == ["1 export can't be opened: 'backup'"], warnings

    if os.environ.get("SCREENSHOT"):
        time.sleep(122)  # until the charts are full
        browser.devtools("Emulation.setDeviceMetricsOverride", width=1240, height=800, deviceScaleFactor=1, mobile=False)
        with open(os.environ["SCREENSHOT"], "wb") as file:
            file.write(browser.screenshot())
        browser.devtools("Emulation.clearDeviceMetricsOverride")

    # ---- the tables sort: numbers in names as numbers ----
    browser.click("#exports th:nth-child(1) button")
    assert rows() == names, rows()
    assert browser.run("return document.querySelector('#exports th').ariaSort") == "ascending"
    browser.click("#exports th:nth-child(1) button")
    assert rows() == names[::-1], rows()
    browser.run("document.querySelector('#exports th:nth-child(2) button').focus()")
    browser.keys(ENTER)
    assert rows(2) == sorted(rows(2)) and rows(2)[0] == "missing", rows(2)
    browser.keys(TAB, " ")
    assert browser.run("return document.querySelector('#exports th:nth-child(3)').ariaSort") == "descending"
    assert rows(3) == sorted(rows(3), key=int, reverse=True) and rows(1)[0] == "web-1", rows(3)
    time.sleep(1.5)
    assert browser.run("return document.activeElement.textContent") == "Clients", "the focus was lost"
    browser.press("#filter", "vm")
    assert sorted(rows()) == ["vm10", "vm7", "vm9"], rows()

    # ---- on a phone, and in the dark ----
    browser.devtools("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    assert browser.run("return document.documentElement.scrollWidth") <= 360, "it is wider than a phone"
    paper = "return getComputedStyle(document.body).backgroundColor"
    papers = set()
    for scheme in "light", "dark":
        browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        papers.add(browser.run(paper))
    assert len(papers) == 2, papers

    # ---- what it may do ----
    asked = set(browser.urls())
    assert asked <= {url + "/", url + "/status.json", "data:,"}, asked
    assert url + "/status.json" in asked
    complaints = [entry for entry in browser.log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert complaints == [], complaints
    tricks = """
        const done = arguments[arguments.length - 1], stopped = [];
        document.addEventListener('securitypolicyviolation', event => stopped.push(event.effectiveDirective));
        const script = document.createElement('script');
        script.textContent = 'window.evil = 1';
        document.body.append(script, Object.assign(document.createElement('style'), { textContent: 'body { color: red }' }));
        document.body.append(Object.assign(new Image(), { src: '/healthz' }));
        document.body.append(Object.assign(document.createElement('iframe'), { src: '/' }));
        const begun = performance.now();
        const look = () => stopped.length >= 5 || performance.now() - begun > 10000 ?
            setTimeout(() => done([stopped.sort(), window.evil]), 200) : setTimeout(look, 50);
        fetch('http://127.0.0.2:9/').catch(() => 0).finally(look);
    """
    stopped, evil = browser.run_async(tricks)
    assert evil is None and stopped == ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"], (stopped, evil)

    # ---- it says when there is nobody ----
    os.kill(int(os.environ["SERVER_PID"]), signal.SIGKILL)
    wait_for("return document.getElementById('state').textContent === 'the server does not answer'", "it says that")
finally:
    browser.close()
