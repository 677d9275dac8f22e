// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// What a booting guest presents. Field order fixes the selector 0x1e079198 of `isAppAllowed`.
struct AppBootInfo {
    address appId;
    bytes32 composeHash;
    address instanceId;
    bytes32 deviceId;
    bytes32 mrAggregated;
    bytes32 mrSystem;
    bytes32 osImageHash;
    string tcbStatus;
    string[] advisoryIds;
}

/// ERC-165 id 0x1e079198.
interface IAppAuth {
    function isAppAllowed(AppBootInfo calldata boot) external view returns (bool isAllowed, string memory reason);
}

/// ERC-165 id 0x8fd37527.
interface IAppAuthBasicManagement {
    event ComposeHashAdded(bytes32 composeHash);
    event ComposeHashRemoved(bytes32 composeHash);
    event DeviceAdded(bytes32 deviceId);
    event DeviceRemoved(bytes32 deviceId);

    function addComposeHash(bytes32 composeHash) external;
    function removeComposeHash(bytes32 composeHash) external;
    function addDevice(bytes32 deviceId) external;
    function removeDevice(bytes32 deviceId) external;
}
