namespace MLNet.SDN.Tests.Controller;

/// <summary>A controller for tests that change nothing.</summary>
public sealed class SharedController : IAsyncLifetime
{
    internal ControllerProcess Controller { get; private set; } = null!;

    /// <inheritdoc />
    public async ValueTask InitializeAsync() => Controller = await ControllerProcess.StartAsync();

    /// <inheritdoc />
    public ValueTask DisposeAsync() => Controller.DisposeAsync();
}
