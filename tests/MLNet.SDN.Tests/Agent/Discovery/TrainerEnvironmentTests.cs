using MLNet.SDN.Agent.Discovery;

namespace MLNet.SDN.Tests.Agent.Discovery;

public sealed class TrainerEnvironmentTests
{
    [Theory]
    [InlineData("RANK=3 WORLD_SIZE=8 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500", "torch//10.0.0.1:29500", "torch-10.0.0.1-29500", 3, 8)]
    [InlineData("RANK=0 WORLD_SIZE=2 MASTER_ADDR=FD00::1 MASTER_PORT=1 SLURM_JOB_ID=77", "torch/77/FD00::1:1", "slurm-77", 0, 2)]
    [InlineData("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 PMIX_NAMESPACE=1362427905", "ompi//1362427905", "mpi-1362427905", 1, 4)]
    [InlineData("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 PMIX_NAMESPACE=prterun-Node_1-88@1", "ompi//prterun-Node_1-88@1", "mpi-prterun-node_1-88-1", 1, 4)]
    [InlineData("SLURM_PROCID=2 SLURM_NTASKS=4 SLURM_JOB_ID=5 SLURM_STEP_ID=0", "slurm/5.0", "slurm-5", 2, 4)]
    [InlineData("SLURM_PROCID=2 SLURM_NTASKS=4 SLURM_JOB_ID=5 SLURM_STEP_ID=3", "slurm/5.3", "slurm-5.3", 2, 4)]
    public void Identify_Launchers_TellJobAndRank(string environment, string key, string name, int rank, int size) =>
        Assert.Equal(new TrainerIdentity(key, name, rank, size), TrainerEnvironment.Identify(Values(environment)));

    [Theory]
    [InlineData("")]
    [InlineData("RANK=0 WORLD_SIZE=2 MASTER_PORT=29500")]
    [InlineData("RANK=0 WORLD_SIZE=1 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500")] // alone
    [InlineData("RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500")] // one host
    [InlineData("RANK=2 WORLD_SIZE=2 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500")]
    [InlineData("RANK=-1 WORLD_SIZE=2 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500")]
    [InlineData("RANK=x WORLD_SIZE=99999999999 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500")]
    [InlineData("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4")]
    [InlineData("SLURM_PROCID=2 SLURM_NTASKS=4")]
    public void Identify_NotWhole_IsNoJob(string environment) => Assert.Null(TrainerEnvironment.Identify(Values(environment)));

    [Fact]
    public void Identify_AnyAddress_MakesANameThatJobsMayHave()
    {
        var name = TrainerEnvironment.Identify(Values($"RANK=0 WORLD_SIZE=2 MASTER_ADDR=Ü/{new string('x', 200)} MASTER_PORT=1"))!.Name;

        Assert.Matches("^[a-z0-9][a-z0-9._-]{0,62}$", name);
    }

    private static Dictionary<string, string> Values(string text) =>
        text.Split(' ', StringSplitOptions.RemoveEmptyEntries).ToDictionary(t => t[..t.IndexOf('=', StringComparison.Ordinal)], t => t[(t.IndexOf('=', StringComparison.Ordinal) + 1)..]);
}
