"""The spawner of tests: the real one, with the toy program in place of the engine."""

from chainrule_server.workers import nursery
from support.toy_program import LoadedToy

if __name__ == "__main__":
    nursery.main(LoadedToy)
