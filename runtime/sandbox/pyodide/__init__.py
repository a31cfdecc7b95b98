"""The guest image `pyodide`: Pyodide in Node, one Node process per session, behind the interface of the WASI images.

    launcher            started by the server in the zygote's place; starts a session whenever it is told to
    node_process        forks, hardens and executes Node
    relay               the session process: carries messages between the server's socket and Node's two pipes
    pipes               the relay's end of those pipes
    driver.mjs          in Node: loads Pyodide, gives the guest its door, caps its memory
    guest_start.py      in Pyodide: starts the same package `sandbox` that the WASI images run
    installation        where Node and the npm package are
    install             puts the npm package there (`make pyodide`)

No fork, no checkpoint and no rollback. Why it is there and what it lacks: docs/design/0009-pyodide.md.
"""
