"""
Serving with onnxruntime and Faiss alone
========================================

What was learned leaves as two files: the network that ranks lists as ONNX, the lists as
a plain Faiss index. A server reads both and needs neither torch nor this library. Here
it answers one query at a time, and in batches, and finds what the router itself finds.
"""

# %%
# A router on generated keys and queries; its lists as an index of Faiss.
import tempfile
import time
from pathlib import Path

import faiss
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime

from sk_amips import AmortizedNeighbors, CentroidRouter, SupportNetRegressor
from sk_amips.datasets import make_mips_problem
from sk_amips.model_selection import grouped_query_split

keys, queries, groups = make_mips_problem(
    n_keys=10_000,
    n_queries=12_000,
    n_features=64,
    shift=0.5,
    norm_spread=0.3,
    popularity=1,
    random_state=0,
)
train, test = grouped_query_split(queries, groups=groups, random_state=0)
router = SupportNetRegressor(keys, n_partitions="sqrt", max_epochs=30, random_state=0)
router.fit(train)
lists = AmortizedNeighbors(
    CentroidRouter(keys, partition=router.partition_), n_probe=5
).fit(train)

folder = tempfile.TemporaryDirectory()
network, index = Path(folder.name, "lists.onnx"), Path(folder.name, "lists.faiss")
router.to_onnx(network, what="partitions")
faiss.write_index(lists.to_faiss(), str(index))
for file in (network, index):
    print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


# %%
# All of the server. Faiss visits the lists that it is given.
class Server:
    def __init__(self, network, index, n_probe):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.network = onnxruntime.InferenceSession(network, options)
        self.index = faiss.read_index(str(index))
        self.n_probe = self.index.nprobe = n_probe

    def search(self, queries, k):
        (scores,) = self.network.run(None, {"queries": queries})
        best = np.argpartition(-scores, self.n_probe, axis=1)[:, : self.n_probe]
        coarse = np.take_along_axis(scores, best, axis=1)
        return self.index.search_preassigned(queries, k, best, coarse)


server = Server(network, index, n_probe=5)
_, found = server.search(test, k=10)
_, expected = router.search(test, k=10, n_probe=5)
print(f"the same ten keys: {np.mean(np.sort(found) == np.sort(expected)):.4f} of them")

# %%
# How long an answer takes on one thread, relative to one query of a large batch.
faiss.omp_set_num_threads(1)
sizes = (1, 4, 16, 64, 256, 1024)
seconds = []
for size in sizes:
    batch = np.ascontiguousarray(test[:size])
    times = []
    for _ in range(20):
        start = time.perf_counter()
        server.search(batch, k=10)
        times.append((time.perf_counter() - start) / size)
    seconds.append(min(times))
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(sizes, np.array(seconds) / seconds[-1], "o-")
ax.set_xscale("log", base=2)
ax.set_xticks(sizes, sizes)
ax.set(
    xlabel="queries in a batch",
    ylabel="time of a query, relative",
    title="onnxruntime and Faiss, one thread",
    ylim=(0, None),
)
plt.show()
folder.cleanup()
