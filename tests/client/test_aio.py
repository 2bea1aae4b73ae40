"""The same client with await."""

import asyncio

import numpy as np
import pytest

import chainrule as cr

X = np.array([0.5, 1.0])


async def everything() -> None:
    async with await cr.aio.connect("local", workers=1) as client:
        assert client.address.startswith("unix:")
        assert repr(client).startswith("async <chainrule client")
        gradients = await asyncio.gather(*(client.grad(np.sin, x) for x in X))
        np.testing.assert_allclose(gradients, np.cos(X))
        g = await client.bind(lambda x: np.sum(x**2))
        np.testing.assert_allclose(await g.grad(X), 2 * X)
        session = await client.create_session(
            lambda w, x: np.mean((x - w) ** 2), np.float64(0.0), optimizer=cr.optim.sgd(0.1)
        )
        answers = [await session.submit(X) for _ in range(3)]
        assert [(await answer).step for answer in answers] == [1, 2, 3]
        assert (await session.step(X)).step == 4
        assert session.next_step == 5
        with pytest.raises(cr.InvalidGraph):
            await client.grad(np.sin, X)
        async with await client.linearize(np.sin, X) as lease:
            np.testing.assert_allclose(await lease.vjp(X), X * np.cos(X))
        with pytest.raises(cr.NotFound):
            await lease.jvp(X)
        assert "value_and_grad" in dir(client)


def test_every_method_is_a_coroutine() -> None:
    asyncio.run(everything())
