"""`python -m chainrule_server.workers.spawner`: the process from which workers are forked.

Started by the pool before gRPC, with one BLAS thread; not meant to be run by hand. Here the engine
meets the pool: everything else in this room knows it by its interface only.
"""

from chainrule_server.engine.worker import LoadedProgram
from chainrule_server.workers import nursery

if __name__ == "__main__":
    nursery.main(LoadedProgram)
